#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>

#include <snowfox/core/intrusive_list.h>
#include <snowfox/drains/stream_drain.h>
#include <snowfox/http/http_protocol.h>
#include <snowfox/http/http_responder.h>

namespace snowfox {

class HttpSource;

/// A connection's answers, in the order of its requests. They are given through responders; enqueue() is for who knows
/// what is being sent.
class HttpDrain final : public StreamDrain {
 public:
  /// `protocol` must outlive it.
  HttpDrain(LoopManager& loop, ChannelRef channel, HttpProtocol& protocol, const Watermarks* watermarks = nullptr);
  ~HttpDrain() override;

  bool flush() override;
  bool delivered() const noexcept override;

  /// Requests that were taken and whose answers are not complete.
  std::uint32_t unanswered() const noexcept { return next_ - front_; }

 private:
  friend class HttpProtocol;
  friend class HttpResponder;
  friend class HttpSource;
  struct Early;
  struct Layout;
  static constexpr std::uint64_t kUnknownLength = UINT64_MAX;

  std::uint32_t take_number() noexcept { return next_++; }
  /// Whether nothing more is to be said about this request, or, if `whole`, it would be too late to begin.
  bool answered(std::uint32_t number, bool whole) noexcept;

  /// The head and all of the body, or as much as is there of a body of `length` bytes.
  bool send_head(HttpResponder& exchange, const HttpReply& reply, std::uint64_t length);
  bool send_piece(HttpResponder& exchange, std::string_view piece);
  void complete(HttpResponder& exchange) noexcept;
  void end_after(std::uint32_t number) noexcept;
  bool blocks(std::size_t more_bytes) const noexcept;
  void begins_in_pieces(std::uint32_t number) noexcept;
  void close_connection(std::error_code reason) noexcept;

  Layout lay_out(HttpResponder& exchange, const HttpReply& reply, std::uint64_t length);
  char* write_head(char* to, const HttpResponder& exchange, const HttpReply& reply, const Layout& layout);
  bool closes(const HttpResponder& exchange) noexcept;
  template <typename Write>
  bool put(std::uint32_t number, std::size_t bytes, const Write& write);
  Early& early(std::uint32_t number);
  Early* find(std::uint32_t number) noexcept;
  bool release();
  void forget_protocol() noexcept;
  HttpSource* source() const noexcept;

  HttpProtocol& protocol_;
  HttpProtocol::Member member_{*this};
  SourceId source_ = kNoSource;
  IntrusiveList<Early, Early> early_;  // given before their turn, in order
  std::size_t held_bytes_ = 0;         // in those; and in those that nobody will get, until they are told as dropped
  std::uint32_t front_ = 0;            // whose answer is due
  std::uint32_t next_ = 0;
  bool front_begun_ = false;
  bool front_is_last_ = false;
  bool closed_ = false;  // the last answer was given
};

}  // namespace snowfox
