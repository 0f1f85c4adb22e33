#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include <snowfox/core/buffer.h>
#include <snowfox/core/pool.h>
#include <snowfox/http/http_source.h>

#include "chunk_reader.h"
#include "inflater.h"
#include "request_parser.h"

namespace snowfox {

/// A request whose head was read.
struct HttpSource::Head {
  HttpRequestRef request;
  RequestFacts facts;
  HttpRouter::Match match;
  std::size_t bytes = 0;

  const HttpRouteOptions& route_options() const noexcept { return match.route->options; }
  bool decodes() const noexcept {
    return route_options().decode && facts.coding != RequestFacts::Coding::None && facts.has_body();
  }
  std::uint64_t most_bytes(const HttpOptions& options) const noexcept {
    // A whole one lies in one piece of memory with its head, in which places have 32 bits.
    constexpr std::uint64_t kMostWhole = std::uint64_t{1} << 31;
    const std::uint64_t most = route_options().max_body_bytes.value_or(options.max_body_bytes);
    return route_options().stream ? most : std::min(most, kMostWhole);
  }
  std::uint64_t most_decoded_bytes(const HttpOptions& options) const noexcept {
    return route_options().max_decoded_bytes.value_or(options.max_decoded_bytes);
  }
};

/// A body that is not received where its request's head is: it comes in chunks, or is handed on in pieces.
class HttpSource::Incoming final : public Pooled {
 public:
  bool done() const noexcept { return chunks ? chunks->done() : left == 0; }
  Refusal take(std::span<const std::byte> bytes, ReceiveBuffer& received, BorrowedBytes& place, std::string& own);

  Head head;                 // without its request if that was handed on
  std::uint32_t number = 0;  // if it is handed on in pieces
  std::uint64_t left = 0;    // of a body that is not chunked
  std::optional<ChunkReader> chunks;
  std::string encoded;  // what was in chunks, before it is decoded
  std::unique_ptr<Inflater> inflater;
  std::shared_ptr<HttpBodyReceiver> receiver;  // also the event's that is being handled
};

/// A piece of a body.
class HttpSource::BodyEvent final : public Event {
 public:
  BodyEvent(SourceId source, DrainId drain) noexcept : Event(drain), source_(source) {}

  void handle() override;
  void rescue(std::exception_ptr error) override;
  std::string_view name() const noexcept override { return "HTTP body"; }

 private:
  friend class HttpSource;
  std::string_view piece() const noexcept {
    const auto bytes = borrowed_.bytes();
    return bytes.empty() ? std::string_view(own_)
                         : std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  SourceId source_;
  std::shared_ptr<HttpBodyReceiver> receiver_;
  BorrowedBytes borrowed_;
  std::string own_;
  bool last_ = false;
};

/// A body will not be completed.
class HttpSource::BodyFailed final : public Event {
 public:
  BodyFailed(std::shared_ptr<HttpBodyReceiver> receiver, std::error_code reason) noexcept
      : receiver_(std::move(receiver)), reason_(reason) {}
  void handle() override { receiver_->on_failed(reason_); }
  std::string_view name() const noexcept override { return "HTTP body failed"; }

 private:
  std::shared_ptr<HttpBodyReceiver> receiver_;
  std::error_code reason_;
};

}  // namespace snowfox
