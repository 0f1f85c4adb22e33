#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/drains/proto_buf_drain.h>
#include <snowfox/sources/message_view.h>
#include <snowfox/sources/stream_source.h>

namespace snowfox {

struct ProtoBufOptions : StreamOptions {
  /// A longer message ends its connection with Errc::FrameTooLarge.
  std::size_t max_frame_bytes = 16U << 20;
};

/// Messages over a stream: each is preceded by its length, 4 bytes, most significant first.
///
/// This class cuts the frames; what is in them a ProtoBufSource<Message> parses.
class FramedSource : public StreamSource {
 protected:
  FramedSource(LoopManager& loop, ChannelRef channel, const ProtoBufOptions& options)
      : StreamSource(loop, std::move(channel), &options) {}

 private:
  EventRef parse_frame(ReceiveBuffer& received) final;
  /// The event of one message's bytes, which are valid during the call only; null for none. Throws ProtocolError.
  /// Whoever looks at them for longer borrows them of `received`.
  virtual EventRef parse_message(std::span<const std::byte> message, ReceiveBuffer& received) = 0;
};

/// Reads `bytes` into `message`. Throws ProtocolError if they are no such message.
void parse_proto_buf(std::span<const std::byte> bytes, google::protobuf::MessageLite& message);
/// Throws ProtocolError: a frame of so many bytes is no message.
[[noreturn]] void throw_no_message(std::size_t bytes);
/// Never destroys `message`, and tells the leak sanitizer that this is meant.
void lose_message(const google::protobuf::MessageLite* message) noexcept;

template <typename Message>
class MessageEvent;

/// What all connections that speak the same messages share: the limits, what to do with a message, and the message
/// objects, which are used again and again. Must outlive the sources and their events.
///
/// If Message has a string field `correlation_id`, it becomes the event's: a message without one, or with one longer
/// than CorrelationId holds, goes to `on_refused`. If it has an integer field `timeout_ms` above zero, the sender gives
/// up so many milliseconds from now: handling is not begun after that.
///
/// Message is a class that protobuf has generated, or an EnvelopeView, which looks at the message where it was received
/// and costs a fraction of parsing it.
template <typename Message>
class ProtoBufProtocol {
 public:
  /// Handles one message.
  using OnMessage = std::function<void(MessageEvent<Message>&)>;
  /// A connection is over: which source's, and why (Errc::EndOfStream if the peer closed it in order).
  using OnClosed = std::function<void(SourceId, std::error_code)>;
  /// A message has no usable correlation id, for the reason given. True if it was dealt with, for instance answered
  /// with an error; false, as when not set: its connection is closed.
  using OnRefused = std::function<bool(const Message&, std::string_view reason, ProtoBufDrain*)>;
  /// `on_message` threw. Not set: the error goes to the loop, which logs it.
  using OnError = std::function<void(MessageEvent<Message>&, std::exception_ptr)>;

  explicit ProtoBufProtocol(OnMessage message_handler, ProtoBufOptions limits = {})
      : options(limits), on_message(std::move(message_handler)) {
    spare_.reserve(kSpareMessages);
  }
  ProtoBufProtocol(const ProtoBufProtocol&) = delete;
  ProtoBufProtocol& operator=(const ProtoBufProtocol&) = delete;

  ProtoBufOptions options;
  OnMessage on_message;
  OnClosed on_closed;
  OnRefused on_refused;
  OnError on_error;

  /// A message object that goes back to its protocol when let go of.
  struct GiveBack {
    ProtoBufProtocol* protocol = nullptr;  // null: it is destroyed instead
    void operator()(Message* message) const noexcept {
      if (protocol == nullptr) {
        delete message;
      } else {
        protocol->give_back(message);
      }
    }
  };
  using MessageRef = std::unique_ptr<Message, GiveBack>;

  /// A message to read `bytes` of content into: one used before, if there is one, with what was in it. One that grows
  /// large is not used again, it would hold its memory for ever.
  MessageRef take(std::size_t bytes) {
    if (bytes > kSpareBytes) return MessageRef(new Message, GiveBack{});
    if (spare_.empty()) return MessageRef(new Message, GiveBack{this});
    Message* message = spare_.back().release();
    spare_.pop_back();
    return MessageRef(message, GiveBack{this});
  }

 private:
  static constexpr std::size_t kSpareMessages = 64;
  static constexpr std::size_t kSpareBytes = 64U << 10;

  void give_back(Message* message) noexcept {
    std::unique_ptr<Message> owned(message);
    if (spare_.size() >= kSpareMessages) return;
    // What protobuf parses into it clears it before.
    if constexpr (!std::derived_from<Message, google::protobuf::MessageLite>) owned->Clear();
    spare_.push_back(std::move(owned));
  }

  std::vector<std::unique_ptr<Message>> spare_;
};

/// A message that came over a connection. Its correlation id is the message's; answers go back where it came from.
template <typename Message>
class MessageEvent final : public Event {
 public:
  using Protocol = ProtoBufProtocol<Message>;
  using MessageRef = typename Protocol::MessageRef;

  MessageEvent(Protocol& protocol, MessageRef message, const CorrelationId& id, DrainId drain, SourceId source)
      : Event(id, drain), protocol_(protocol), message_(std::move(message)), source_(source) {}

  Message& message() noexcept { return *message_; }
  /// The connection it came over.
  SourceId source_id() const noexcept { return source_; }

  /// Sends `reply` back. False if the connection is gone; the answer is then dropped.
  template <typename Reply>
  bool answer(const Reply& reply) {
    auto* drain = loop().template fetch<ProtoBufDrain>(drain_id());
    if (drain == nullptr) return false;
    drain->enqueue(reply);
    return true;
  }

  /// For an answer that comes later: keeps the connection's drain open until it is let go of.
  DrainLease answer_later() { return DrainLease(drain()); }
  /// Takes the message out of the event, to keep it.
  MessageRef take_message() noexcept { return std::move(message_); }

  void handle() override {
    if constexpr (requires { message_->lost(); }) {
      if (message_ && message_->lost()) throw std::bad_alloc();
    }
    protocol_.on_message(*this);
  }
  void rescue(std::exception_ptr error) override {
    if (!protocol_.on_error) std::rethrow_exception(std::move(error));
    protocol_.on_error(*this, std::move(error));
  }

 private:
  Protocol& protocol_;
  MessageRef message_;
  SourceId source_;
};

/// The messages of one connection.
template <typename Message>
class ProtoBufSource final : public FramedSource {
 public:
  using Protocol = ProtoBufProtocol<Message>;

  /// `drain` is where answers go, normally the one on the same channel; kNoDrain for none.
  ProtoBufSource(LoopManager& loop, ChannelRef channel, Protocol& protocol, DrainId drain)
      : FramedSource(loop, std::move(channel), protocol.options), protocol_(protocol), drain_(drain) {}

 private:
  EventRef parse_message(std::span<const std::byte> bytes, ReceiveBuffer& received) override {
    auto message = protocol_.take(bytes.size());
    if constexpr (requires { message->read(received, bytes); }) {
      if (!message->read(received, bytes)) throw_no_message(bytes.size());
    } else {
      try {
        parse_proto_buf(bytes, *message);
      } catch (const std::bad_alloc&) {
        // Protobuf calls a member of a oneof set before it has memory for it, and its pointer may still be what was
        // there before: destroying the message would free that, perhaps again. Better to lose it.
        lose_message(message.release());
        throw;
      }
    }
    CorrelationId id;
    if constexpr (requires { std::string_view(message->correlation_id()); }) {
      const std::string_view text = message->correlation_id();
      if (auto parsed = CorrelationId::parse(text)) {
        id = *parsed;
      } else {
        refuse(*message, text);
        return nullptr;
      }
    }
    const std::uint64_t timeout_ms = timeout_of(*message);
    auto event = std::make_unique<MessageEvent<Message>>(protocol_, std::move(message), id, drain_, this->id());
    if (timeout_ms != 0) {
      event->set_deadline(deadline_after(loop().now(), std::chrono::milliseconds(timeout_ms)));
    }
    return event;
  }

  static std::uint64_t timeout_of(const Message& message) {
    if constexpr (requires { requires std::is_integral_v<decltype(message.timeout_ms())>; }) {
      // Ten years are as good as for ever, and do not overflow.
      constexpr std::uint64_t kMost = std::uint64_t{10} * 365 * 24 * 3600 * 1000;
      if (message.timeout_ms() <= 0) return 0;
      return std::min(static_cast<std::uint64_t>(message.timeout_ms()), kMost);
    } else {
      return 0;
    }
  }

  void refuse(const Message& message, std::string_view text) {
    const std::string reason = text.empty()
                                   ? "correlation_id is missing: expected 1 to 39 bytes"
                                   : "correlation_id has " + std::to_string(text.size()) + " bytes: expected 1 to 39";
    if (protocol_.on_refused && protocol_.on_refused(message, reason, loop().template fetch<ProtoBufDrain>(drain_))) {
      return;
    }
    throw ProtocolError(Errc::BadFrame, reason);
  }

  EventRef closed(std::error_code reason) override {
    if (!protocol_.on_closed) return nullptr;
    return std::make_unique<Closed>(protocol_, this->id(), reason);
  }

  class Closed final : public Event {
   public:
    Closed(const Protocol& protocol, SourceId source, std::error_code reason) noexcept
        : protocol_(protocol), source_(source), reason_(reason) {}
    void handle() override { protocol_.on_closed(source_, reason_); }
    std::string_view name() const noexcept override { return "connection closed"; }

   private:
    const Protocol& protocol_;
    SourceId source_;
    std::error_code reason_;
  };

  Protocol& protocol_;
  DrainId drain_;
};

/// A connection's two ends.
struct ProtoBufConnection {
  SourceId source;
  DrainId drain;
};

/// For the side that asks: makes the source and the drain of a new connection; the loop owns them. Answers are read
/// however much is still to be sent. If it throws, neither was made.
template <typename Message>
ProtoBufConnection connect_proto_buf(LoopManager& loop, const ChannelRef& channel, ProtoBufProtocol<Message>& protocol,
                                     const Watermarks* watermarks = nullptr) {
  auto drain = std::make_unique<ProtoBufDrain>(loop, channel, watermarks, protocol.options.max_frame_bytes);
  auto source = std::make_unique<ProtoBufSource<Message>>(loop, channel, protocol, drain->id());
  return {loop.add(std::move(source)).id(), loop.add(std::move(drain)).id()};
}

/// For the side that answers: the same, but while more answers wait than the high watermark, no requests are read. If
/// both sides did so, each might wait for the other to read.
template <typename Message>
ProtoBufConnection serve_proto_buf(LoopManager& loop, const ChannelRef& channel, ProtoBufProtocol<Message>& protocol,
                                   const Watermarks* watermarks = nullptr) {
  const ProtoBufConnection made = connect_proto_buf(loop, channel, protocol, watermarks);
  loop.drain(made.drain)->bind(made.source);
  return made;
}

}  // namespace snowfox
