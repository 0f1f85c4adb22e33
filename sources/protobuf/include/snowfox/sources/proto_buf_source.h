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

  /// What is in the frame that `received` begins with; data() is null if not all of it is there. Throws ProtocolError
  /// if it is longer than `max_frame_bytes`. To be given to end_frame().
  static std::span<const std::byte> whole_frame(ReceiveBuffer& received, std::size_t max_frame_bytes) {
    const std::span<const std::byte> bytes = received.data();
    if (bytes.size() < kHeader) return {};
    std::uint32_t size = 0;
    for (std::size_t i = 0; i < kHeader; ++i) size = size << 8 | std::to_integer<std::uint32_t>(bytes[i]);
    if (size > max_frame_bytes) too_large(size, max_frame_bytes);
    if (size <= bytes.size() - kHeader) return bytes.subspan(kHeader, size);
    received.need(kHeader + std::size_t{size});
    return {};
  }
  static void end_frame(ReceiveBuffer& received, std::span<const std::byte> frame) noexcept {
    received.need(0);
    received.consume(kHeader + frame.size());
  }

 private:
  static constexpr std::size_t kHeader = ProtoBufDrain::kHeaderBytes;

  [[noreturn]] static void too_large(std::size_t bytes, std::size_t most);
};

/// Reads `bytes` into `message`. Throws ProtocolError if they are no such message.
void parse_proto_buf(std::span<const std::byte> bytes, google::protobuf::MessageLite& message);
/// Throws ProtocolError: a frame of so many bytes is no message.
[[noreturn]] void throw_no_message(std::size_t bytes);
/// Never destroys `message`, and tells the leak sanitizer that this is meant.
void lose_message(const google::protobuf::MessageLite* message) noexcept;

template <typename Message>
class MessageEvent;
template <typename Message>
class ProtoBufSource;

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
  /// Messages are looked at where they were received.
  static constexpr bool kInPlace = requires(Message & message, ReceiveBuffer& received) {
    message.read(received, received.data());
  };

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
      : options(limits), on_message(std::move(message_handler)) {}
  ProtoBufProtocol(const ProtoBufProtocol&) = delete;
  ProtoBufProtocol& operator=(const ProtoBufProtocol&) = delete;

  ProtoBufOptions options;
  OnMessage on_message;
  OnClosed on_closed;
  OnRefused on_refused;
  OnError on_error;

  /// Message objects that wait to be used again. One that has held much may hold its memory for ever, so these are
  /// fewer.
  class Spare {
   public:
    Spare(std::size_t message_bytes, std::size_t messages) : message_bytes_(message_bytes), most_(messages) {
      messages_.reserve(most_);
    }
    /// For messages of so many bytes on the wire.
    bool fits(std::size_t bytes) const noexcept { return bytes <= message_bytes_; }
    /// A new one if it has none.
    Message* take() {
      if (messages_.empty()) return new Message;
      Message* message = messages_.back().release();
      messages_.pop_back();
      return message;
    }
    void give_back(Message* message) noexcept {
      std::unique_ptr<Message> owned(message);
      if (messages_.size() == most_) return;
      // What protobuf parses into it clears it before.
      if constexpr (!std::derived_from<Message, google::protobuf::MessageLite>) owned->Clear();
      messages_.push_back(std::move(owned));
    }

   private:
    std::size_t message_bytes_;
    std::size_t most_;
    std::vector<std::unique_ptr<Message>> messages_;
  };
  /// A message object that goes back to its protocol when let go of.
  struct GiveBack {
    Spare* spare = nullptr;  // null: it is destroyed instead
    void operator()(Message* message) const noexcept {
      if (spare == nullptr) {
        delete message;
      } else {
        spare->give_back(message);
      }
    }
  };
  using MessageRef = std::unique_ptr<Message, GiveBack>;

  /// A message to read `bytes` of content into: one used before, if there is one, with what was in it. One that grows
  /// large is not used again.
  MessageRef take(std::size_t bytes) {
    for (Spare* spare : {&small_, &large_}) {
      if (spare->fits(bytes)) return MessageRef(spare->take(), GiveBack{spare});
    }
    return MessageRef(new Message, GiveBack{});
  }
  /// Leaves `message` what it is if it may have so many bytes read into it, and takes one that may if not.
  void fit(MessageRef& message, std::size_t bytes) {
    const Spare* const spare = message.get_deleter().spare;
    if (message == nullptr || spare == nullptr || !spare->fits(bytes)) message = take(bytes);
  }

 private:
  // Each at most 4 MiB, if what is in a message takes twice what it takes on the wire.
  Spare small_{2U << 10, 1024};
  Spare large_{64U << 10, 32};
};

/// A message that came over a connection. Its correlation id is the message's; answers go back where it came from.
template <typename Message>
class MessageEvent final : public Event {
 public:
  using Protocol = ProtoBufProtocol<Message>;
  using MessageRef = typename Protocol::MessageRef;

  /// Without a message.
  MessageEvent(Protocol& protocol, DrainId drain, SourceId source) noexcept
      : Event(drain), protocol_(protocol), source_(source) {}

  Message& message() noexcept {
    if constexpr (Protocol::kInPlace) {
      return message_;
    } else {
      return *message_;
    }
  }
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
  /// Takes the message out of the event, to keep it. Throws std::bad_alloc only if it is an EnvelopeView.
  MessageRef take_message() noexcept(!Protocol::kInPlace) {
    if constexpr (Protocol::kInPlace) {
      MessageRef taken = protocol_.take(0);
      *taken = std::move(message_);
      return taken;
    } else {
      return std::move(message_);
    }
  }

  void handle() override {
    if constexpr (Protocol::kInPlace) {
      if (message_.lost()) throw std::bad_alloc();
    }
    protocol_.on_message(*this);
    // Or its bytes would be copied when the buffer they lie in goes.
    if constexpr (Protocol::kInPlace) message_.Clear();
  }
  void rescue(std::exception_ptr error) override {
    if (!protocol_.on_error) std::rethrow_exception(std::move(error));
    protocol_.on_error(*this, std::move(error));
  }

 private:
  friend class ProtoBufSource<Message>;

  /// Becomes the event of the message in `bytes`, but for its correlation id and deadline. Throws ProtocolError if they
  /// are no message.
  void read(std::span<const std::byte> bytes, [[maybe_unused]] ReceiveBuffer& received) {
    if constexpr (Protocol::kInPlace) {
      if (!message_.wire().empty()) message_.Clear();  // it could not be handled
      if (!message_.read(received, bytes)) throw_no_message(bytes.size());
    } else {
      protocol_.fit(message_, bytes.size());
      try {
        parse_proto_buf(bytes, *message_);
      } catch (const std::bad_alloc&) {
        // Protobuf calls a member of a oneof set before it has memory for it, and its pointer may still be what was
        // there before: destroying the message would free that, perhaps again. Better to lose it.
        lose_message(message_.release());
        throw;
      }
    }
  }

  Protocol& protocol_;
  std::conditional_t<Protocol::kInPlace, Message, MessageRef> message_;
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

  /// All messages of a turn are read into one event.
  void parse_all(EventSink& sink) override {
    MessageEvent<Message> event(protocol_, drain_, id());
    this->parse_each(
        sink, [&](ReceiveBuffer& received) -> Event* { return next_message(received, event) ? &event : nullptr; });
  }

 private:
  EventRef parse_frame(ReceiveBuffer& received) override {
    if (whole_frame(received, protocol_.options.max_frame_bytes).data() == nullptr) return nullptr;
    auto event = std::make_unique<MessageEvent<Message>>(protocol_, drain_, id());
    return next_message(received, *event) ? std::move(event) : nullptr;
  }

  /// False if no whole frame is left. Those that are refused are consumed on the way.
  bool next_message(ReceiveBuffer& received, MessageEvent<Message>& event) {
    for (;;) {
      const std::span<const std::byte> frame = whole_frame(received, protocol_.options.max_frame_bytes);
      if (frame.data() == nullptr) return false;
      event.read(frame, received);
      const bool known = identify(event);
      end_frame(received, frame);
      if (known) return true;
    }
  }

  bool identify(MessageEvent<Message>& event) {
    const Message& message = event.message();
    if constexpr (requires { std::string_view(message.correlation_id()); }) {
      const std::string_view text = message.correlation_id();
      if (!event.set_correlation_id(text)) {
        refuse(message, text);
        return false;
      }
    }
    const std::uint64_t timeout_ms = timeout_of(message);
    event.set_deadline(timeout_ms == 0 ? kNever : deadline_after(loop().now(), std::chrono::milliseconds(timeout_ms)));
    return true;
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
