#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <system_error>
#include <utility>

#include <snowfox/core/io.h>
#include <snowfox/core/poller.h>
#include <snowfox/core/shared_ref.h>

namespace snowfox {

class EventDrain;
class EventSource;
class LoopManager;

/// How many channels of one kind are open. Shared by those channels and their listener, either of which may go first.
struct ConnectionCount {
  std::size_t open = 0;
  std::function<void()> one_closed;  ///< called after each that closes; must not throw

  void add_owner() noexcept { ++owners; }
  bool remove_owner() noexcept { return --owners == 0; }
  std::size_t owners = 0;  ///< for SharedRef
};
using ConnectionCountRef = SharedRef<ConnectionCount>;

class Channel;
using ChannelRef = SharedRef<Channel>;

/// An open descriptor and the loop's one watch on it. The source that reads from it and the drain that writes to it
/// share it (hence the SharedRef: neither outlives the other in every case); it is closed when the last lets go.
class Channel final : public PollTarget {
 public:
  /// Takes over `descriptor`, whose Io is used for reading and writing. `loop` must outlive the channel.
  /// Throws std::system_error if it cannot be watched, std::bad_alloc; `descriptor` is as it was then.
  static ChannelRef make(LoopManager& loop, Descriptor&& descriptor);

  ~Channel();

  Io& io() const noexcept { return *io_; }

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

  /// It has turned out to be no socket: it is read and written in another way.
  void set_no_socket() noexcept { socket_ = false; }
  bool socket() const noexcept { return socket_; }

  /// Writing has failed: ends the source that reads from the same descriptor.
  void fail_source(std::error_code error) noexcept;

  /// Counts this channel among a listener's connections until it is closed.
  void count_in(ConnectionCountRef count) noexcept;

  /// Ends the watch and gives the descriptor to the caller.
  Descriptor release() noexcept;

 private:
  friend class SharedRef<Channel>;
  Channel(LoopManager& loop, Descriptor&& descriptor);
  void add_owner() noexcept {
    ++owners_;
    assert(owners_ != 0);
  }
  bool remove_owner() noexcept { return --owners_ == 0; }

  void on_poll(bool readable, bool writable) noexcept override;
  bool set(bool read, bool write) noexcept;

  // Beside what a PollTarget has, in the same eight bytes. A channel has some owners, not a million.
  bool want_read_ : 1 = false;
  bool want_write_ : 1 = false;
  bool peer_finished_ : 1 = false;
  bool socket_ : 1 = true;
  std::uint32_t owners_ : 20 = 0;
  Io* io_;
  EventSource* source_ = nullptr;
  EventDrain* drain_ = nullptr;
  Poller& poller_;
  ConnectionCountRef count_;
};

}  // namespace snowfox
