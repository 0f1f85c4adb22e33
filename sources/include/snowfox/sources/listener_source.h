#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <snowfox/core/address.h>
#include <snowfox/core/channel.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/io.h>

namespace snowfox {

struct ListenerOptions : ListenOptions {
  /// So many connections at once; further ones wait in the kernel's backlog until one is closed. 0: no limit.
  std::size_t max_connections = 0;
};

/// Waits for connections at an address and hands each to a function that makes a source and a drain of it.
///
/// When the process has no descriptor left, the listener says so in the log, pauses, and looks again as soon as one of
/// its connections closes, or after 100 ms; those who wait are not refused. When the listener goes, the file of a Unix
/// socket goes with it.
class ListenerSource final : public EventSource {
 public:
  struct Connection {
    ChannelRef channel;
    Address peer;
  };
  using OnConnection = std::function<void(Connection)>;

  /// Throws std::system_error naming the address if it cannot be listened on: somebody else does, no permission, …
  ListenerSource(LoopManager& loop, const Address& address, const ListenerOptions& options, OnConnection on_connection);
  ~ListenerSource() override;

  /// A listening descriptor on its way from one listener to another, with what goes along.
  struct Handover {
    Descriptor descriptor;
    Address address;
    ConnectionCountRef connections;
    bool remove_file = true;  ///< with the listener; false if the file of the Unix socket is somebody else's
  };
  /// Gives the listening descriptor up, without closing it: whoever connects meanwhile waits in its backlog. This
  /// listener accepts nothing more.
  Handover hand_over() noexcept;
  /// Goes on where another listener, or whoever started the process (LISTEN_FDS), stopped.
  ListenerSource(LoopManager& loop, Handover from, const ListenerOptions& options, OnConnection on_connection);

  /// From now on so many connections at once, 0: no limit. Those that are open stay.
  void set_max_connections(std::size_t limit) noexcept;

  /// What it was asked to listen on.
  const Address& address() const noexcept { return address_; }
  /// What it does listen on: with the port that was chosen for port 0.
  Address local_address() const;
  /// Its connections, and those of the listeners it took over from, that are open.
  std::size_t connections() const noexcept { return count_->open; }
  /// Accepted in all.
  std::uint64_t accepted() const noexcept { return accepted_; }

  EventRef parse() override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override { return "listener " + address_.str(); }

 private:
  struct Retry;
  void on_pause_changed() noexcept override { watch(); }
  void on_removed() noexcept override { close(); }
  void on_stopping() noexcept override { close(); }
  void begin();
  void watch() noexcept;
  void pause_for_descriptors(int error) noexcept;
  bool full() const noexcept { return options_.max_connections != 0 && count_->open >= options_.max_connections; }
  void close() noexcept;

  Address address_;
  ListenerOptions options_;
  std::shared_ptr<const OnConnection> on_connection_;  // also the event's under way: its handler may destroy us
  ConnectionCountRef count_;
  ChannelRef channel_;
  std::unique_ptr<Retry> retry_;
  std::uint64_t accepted_ = 0;
  bool remove_file_ = true;
  std::optional<std::pair<dev_t, ino_t>> file_;  // ours at the socket's path: another may have taken its place since
  bool said_full_ = false;
  bool said_exhausted_ = false;
};

}  // namespace snowfox
