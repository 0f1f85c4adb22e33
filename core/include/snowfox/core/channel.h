#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <system_error>

#include <snowfox/core/io.h>
#include <snowfox/core/poller.h>

namespace snowfox {

class EventDrain;
class EventSource;
class LoopManager;

/// How many channels of one kind are open. Shared by those channels and their listener, either of which may go first.
struct ConnectionCount {
  std::size_t open = 0;
  std::function<void()> one_closed;  ///< called after each that closes; must not throw
};

/// An open descriptor and the loop's one watch on it. The source that reads from it and the drain that writes to it
/// share it (hence the shared_ptr: neither outlives the other in every case); it is closed when the last lets go.
class Channel final : public PollTarget {
 public:
  /// Takes over `descriptor`, whose Io is used for reading and writing. `loop` must outlive the channel.
  /// Throws std::system_error if it cannot be watched, std::bad_alloc; `descriptor` is as it was then.
  static std::shared_ptr<Channel> make(LoopManager& loop, Descriptor&& descriptor);

  ~Channel();

  Io& io() const noexcept { return descriptor_.io(); }

  /// `source` is told when the descriptor is readable, as long as it watches. At most one; null: none.
  void set_source(EventSource* source) noexcept { source_ = source; }
  void set_drain(EventDrain* drain) noexcept { drain_ = drain; }
  EventSource* source() const noexcept { return source_; }
  EventDrain* drain() const noexcept { return drain_; }

  /// Whether to watch for reading or writing. False if the system refuses: the descriptor is then of no more use.
  bool watch_read(bool watch) noexcept { return set(watch, want_write_); }
  bool watch_write(bool watch) noexcept { return set(want_read_, watch); }

  /// The peer has said that it sends nothing more.
  void set_peer_finished() noexcept { peer_finished_ = true; }
  bool peer_finished() const noexcept { return peer_finished_; }

  /// Writing has failed: ends the source that reads from the same descriptor.
  void fail_source(std::error_code error) noexcept;

  /// Counts this channel among a listener's connections until it is closed.
  void count_in(std::shared_ptr<ConnectionCount> count) noexcept;

  /// Ends the watch and gives the descriptor to the caller.
  Descriptor release() noexcept;

 private:
  struct Key {
    explicit Key() = default;
  };

 public:
  Channel(Key, LoopManager& loop, Descriptor&& descriptor);  // for make() alone

 private:
  void on_poll(bool readable, bool writable) noexcept override;
  bool set(bool read, bool write) noexcept;

  EventSource* source_ = nullptr;
  EventDrain* drain_ = nullptr;
  Descriptor descriptor_;
  Poller& poller_;
  std::shared_ptr<ConnectionCount> count_;
  bool want_read_ = false;
  bool want_write_ = false;
  bool peer_finished_ = false;
};

using ChannelRef = std::shared_ptr<Channel>;

}  // namespace snowfox
