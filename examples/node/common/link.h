#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <snowfox/core/channel.h>
#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/drains/proto_buf_drain.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/promises/request.h>
#include <snowfox/sources/proto_buf_source.h>

#include "common/message.h"
#include "common/origin.h"

namespace snowfox::node {

/// Whether a message of this code answers a request: Ack, Error, and what ends in _RESPONSE.
template <typename Code>
bool is_answer(Code code) {
  const auto* value = google::protobuf::GetEnumDescriptor<Code>()->FindValueByNumber(code);
  if (value == nullptr) return false;
  const std::string_view name = value->name();
  return name == "ACK" || name == "ERROR" || name.ends_with("_RESPONSE");
}

/// A connection to one particular peer, over which requests go both ways. It may be opened again after it was closed.
///
/// What answers a request settles that request's promise, an Error rejects it with a RemoteError; all other messages
/// are requests of the peer. One that makes no sense, or whose handler throws, is answered with an Error here.
///
/// Not to be destroyed by one of its own handlers.
template <typename Message>
class Link {
 public:
  using Protocol = ProtoBufProtocol<Message>;
  using OnRequest = typename Protocol::OnMessage;
  /// The connection is over, and what was asked over it is rejected; Errc::EndOfStream if the peer ended it.
  using OnClosed = std::function<void(std::error_code)>;

  /// `peer` is what log lines and errors call the other side. `loop` must outlive the link.
  Link(LoopManager& loop, std::string peer, OnRequest on_request, OnClosed on_closed, PromiseKeeperOptions keeping = {})
      : loop_(loop),
        peer_(std::move(peer)),
        on_request_(std::move(on_request)),
        on_closed_(std::move(on_closed)),
        protocol_([this](MessageEvent<Message>& event) { receive(event); }),
        keeper_(loop, keeping) {
    protocol_.on_closed = [this](SourceId source, std::error_code reason) { closed(source, reason); };
    protocol_.on_refused = [this](const Message&, std::string_view reason, ProtoBufDrain*) {
      loop_.log().warning("link", "message refused", {{"peer", peer_}, {"reason", reason}});
      return true;
    };
    protocol_.on_error = [this](MessageEvent<Message>& event, const std::exception_ptr& error) {
      const Error known = to_error(error);
      note("cannot do what it asks", event.message(), event.correlation_id(), known.text());
      event.answer(make_refusal<Message>(event.correlation_id(), known));
    };
  }
  ~Link() { close(); }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Goes on over `channel`. Must not be open.
  void open(const ChannelRef& channel) {
    credentials_ = channel->io().peer_credentials(channel->fd());
    connection_ = connect_proto_buf(loop_, channel, protocol_);
  }
  bool is_open() const noexcept { return loop_.drain(connection_.drain) != nullptr && connection_.source != kNoSource; }
  /// Ends the connection at once; what is still to be sent is dropped and what was asked is rejected. The closed
  /// handler is not called.
  void close() noexcept {
    const ProtoBufConnection ended = std::exchange(connection_, {kNoSource, kNoDrain});
    loop_.remove(ended.source);
    loop_.remove(ended.drain);
    keeper_.reject_all(Errc::EndOfStream);
  }

  const std::string& peer() const noexcept { return peer_; }
  /// Who it was when the connection was made: for a connection that we made, who listened.
  const std::optional<PeerCredentials>& credentials() const noexcept { return credentials_; }
  const PromiseKeeper& keeper() const noexcept { return keeper_; }
  DrainId drain_id() const noexcept { return connection_.drain; }

  /// False if there is no connection.
  bool send(const Message& message) {
    auto* drain = loop_.fetch<ProtoBufDrain>(connection_.drain);
    if (drain == nullptr) return false;
    drain->enqueue(message);
    return true;
  }
  /// The answer to `message`, which must have its code and payload. Rejected with a RemoteError if that is an Error,
  /// with std::system_error if it does not come. Throws what request() throws, and if there is no connection.
  Promise<Message> ask(Message message, const RequestOptions& options = {}) {
    auto* drain = loop_.fetch<ProtoBufDrain>(connection_.drain);
    if (drain == nullptr) throw std::system_error(std::make_error_code(std::errc::not_connected), peer_);
    if (!options.id.empty()) note("asked", message, options.id);
    return request<Message>(keeper_, *drain, std::move(message), options);
  }
  /// The same of what is asked because of the request `origin`, which may be empty.
  Promise<Message> ask_because_of(const CorrelationId& origin, Message message, Duration deadline = Duration::zero()) {
    return ask(std::move(message), {.deadline = deadline, .id = follow_up(origin, follow_ups_++)});
  }
  /// Rejects what was asked under `id`; false if nothing is.
  bool reject(const CorrelationId& id, const std::exception_ptr& error) { return keeper_.reject(id, error); }

 private:
  void receive(MessageEvent<Message>& event) {
    Message& message = event.message();
    const auto fault = find_fault(message);
    note(is_answer(message.code()) ? "answers" : "asks", message, event.correlation_id(), error_text(message));
    if (is_answer(message.code())) {
      settle(message, event.correlation_id(), fault);
    } else if (fault) {
      event.answer(make_refusal<Message>(event.correlation_id(), *fault));
    } else {
      on_request_(event);
    }
  }

  static std::string_view error_text(const Message& message) {
    return message.has_error() ? std::string_view(message.error().text()) : std::string_view();
  }
  /// For whoever follows a request through the processes.
  void note(std::string_view what, const Message& message, const CorrelationId& id, std::string_view error = {}) {
    if (!loop_.log().wanted(LogLevel::Debug, id) || !is_of_a_request(id)) return;
    log_if_possible([&] {
      const std::string payload = payload_name(message, static_cast<int>(message.payload_case()));
      const CorrelationId origin = origin_of(id);
      if (error.empty()) {
        loop_.log().debug("link", what, {{"peer", peer_}, {"message", payload}}, origin);
      } else {
        loop_.log().debug("link", what, {{"peer", peer_}, {"message", payload}, {"error", error}}, origin);
      }
    });
  }

  void settle(Message& message, const CorrelationId& id, const std::optional<Error>& fault) {
    if (fault || message.has_error()) {
      keeper_.reject(id, std::make_exception_ptr(RemoteError(fault ? *fault : message.error())));
    } else {
      keeper_.fulfill<Message>(id, std::move(message));
    }
  }

  void closed(SourceId source, std::error_code reason) {
    if (source != connection_.source) return;
    connection_ = {kNoSource, kNoDrain};
    keeper_.reject_all(reason);
    on_closed_(reason);
  }

  LoopManager& loop_;
  std::string peer_;
  OnRequest on_request_;
  OnClosed on_closed_;
  Protocol protocol_;
  PromiseKeeper keeper_;
  ProtoBufConnection connection_{kNoSource, kNoDrain};
  std::optional<PeerCredentials> credentials_;
  std::uint32_t follow_ups_ = 0;
};

}  // namespace snowfox::node
