#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <system_error>

#include <snowfox/core/buffer.h>
#include <snowfox/core/channel.h>
#include <snowfox/core/event_source.h>

namespace snowfox {

/// How long a connection may be silent. Zero: for ever.
struct StreamOptions {
  /// Nothing at all is received for so long: closed with Errc::IdleTimeout.
  Duration idle_timeout = Duration::zero();
  /// A frame is begun and not completed for so long, however busily its bytes trickle: closed with Errc::FrameTimeout.
  Duration frame_timeout = std::chrono::seconds(60);
};

/// The bytes of a connection, turned into events by a protocol.
///
/// A protocol derives from this and parses frames out of the receive buffer; reading is done here: one read a turn,
/// into a buffer that is lent for as long as something is in it. At the end - the peer has closed, a timeout, nonsense,
/// the drain on the same channel failed - closed() makes the last event, and the source is removed from its loop. What
/// the drain still has is flushed first if the peer has only closed its own side.
class StreamSource : public EventSource {
 public:
  ~StreamSource() override;

  EventRef parse() override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override;

  /// Ends the connection as if `reason` had happened to it; what its drain still has is dropped unless `reason` is
  /// Errc::EndOfStream: then the peer gets it, whatever it goes on sending (see StreamDrain). Nothing more is parsed.
  void close(std::error_code reason) noexcept;
  bool open() const noexcept { return !over_; }

  /// Takes `bytes` as if they had been received: for tests, and for protocols inside others.
  void feed(std::span<const std::byte> bytes);

  /// Bytes received in all.
  std::uint64_t received_bytes() const noexcept { return received_bytes_; }
  /// Who is at the other end of a Unix socket; nothing for TCP.
  std::optional<PeerCredentials> peer_credentials() const;

 protected:
  /// `options` is borrowed and must outlive the source; many sources share one. Null: the defaults. A null `channel`
  /// makes a source that reads nothing, for protocols that run inside another, or in tests; feed() it.
  StreamSource(LoopManager& loop, ChannelRef channel, const StreamOptions* options = nullptr);

  const ChannelRef& channel() const noexcept { return channel_; }
  /// Must be open.
  const StreamOptions& options() const noexcept { return timed_ ? timed_options() : *options_; }

  /// What parse_all() does, for a protocol that needs no object for each of its events: `next(ReceiveBuffer&)` does as
  /// parse_frame(), but gives a pointer to an event that stays where it is; null if there is no whole frame yet.
  template <typename Next>
  void parse_each(EventSink& sink, Next&& next) {
    while (Event* event = next_event<Event*>(next)) {
      if (!sink.handle(*event)) return;
    }
    if (!over_) return;
    if (const EventRef last = finish()) static_cast<void>(sink.handle(*last));
  }

 private:
  /// The event of the first frame in `received`, consumed from its front; null if there is no whole frame yet. Frames
  /// without an event are consumed on the way. `received` is never empty. Throws ProtocolError if the bytes make no
  /// sense, which closes the connection.
  virtual EventRef parse_frame(ReceiveBuffer& received) = 0;
  /// The event that tells why the connection is over, or null for none: Errc::EndOfStream if the peer closed it in
  /// order. Called once.
  virtual EventRef closed(std::error_code) { return nullptr; }

  void on_readable() noexcept override;
  void on_pause_changed() noexcept override;
  void on_removed() noexcept override;
  void fail(std::error_code error) noexcept override;

  /// What `parse_frame(ReceiveBuffer&)` makes of what is there and of what one more read brings; null if that is
  /// nothing or the connection is over.
  template <typename EventPointer, typename ParseFrame>
  EventPointer next_event(ParseFrame&& parse_frame) {
    while (!over_) {
      try {
        if (unparsed_) {
          const std::size_t before = timed_ ? buffer_.data().size() : 0;
          EventPointer event = parse_frame(buffer_);
          if (timed_) parsed(before);
          unparsed_ = event != nullptr && !buffer_.empty();
          if (event != nullptr) return event;
          if (over_) break;
        }
        // Parsing may have paused it, and what is paused reads nothing.
        if (!readable_ || paused()) {
          await_rest();
          break;
        }
        readable_ = false;
        read();
      } catch (const std::system_error& nonsense) {
        refuse(nonsense);
      } catch (const std::bad_alloc&) {
        close(std::make_error_code(std::errc::not_enough_memory));
      }
    }
    return nullptr;
  }

  struct Silence;
  Silence* silence() noexcept { return timed_ ? silence_ : nullptr; }
  Silence& begin_timing();
  void end_timing() noexcept;
  const StreamOptions& timed_options() const noexcept;
  std::error_code reason() const noexcept { return {reason_value_, *reason_category_}; }
  void read();
  void parsed(std::size_t before) noexcept;
  void refuse(const std::system_error& nonsense) noexcept;
  void watch() noexcept;
  void await_rest();
  EventRef finish();
  void leave() noexcept;

  bool over_ : 1 = false;
  bool timed_ : 1 = false;  // a timeout is running, or was
  bool readable_ : 1 = false;
  bool unparsed_ : 1 = false;  // the buffer may hold a whole frame
  bool finished_ : 1 = false;
  bool reason_logged_ : 1 = false;
  int reason_value_ = 0;
  ChannelRef channel_;
  ReceiveBuffer buffer_;
  // A connection is idle nearly always: what it needs at one time only shares a place.
  union {
    const StreamOptions* options_;                // neither of those below
    Silence* silence_;                            // timed_: owned, it knows the options
    const std::error_category* reason_category_;  // over_: with reason_value_, why
  };
  std::uint64_t received_bytes_ = 0;
};

}  // namespace snowfox
