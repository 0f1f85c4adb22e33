#pragma once

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/channel.h>
#include <snowfox/core/io.h>

#include "fuzz.h"
#include "support/manual_loop.h"

namespace snowfox {

/// How bytes come in pieces: so many with each read, over and over. A zero is a read that finds nothing yet.
class Cuts {
 public:
  /// All in one piece.
  Cuts() = default;
  explicit Cuts(std::vector<std::size_t> sizes) : sizes_(std::move(sizes)) {
    if (std::all_of(sizes_.begin(), sizes_.end(), [](std::size_t size) { return size == 0; })) sizes_.clear();
  }
  /// At most 15 sizes from an input's front, each of up to 255 times `unit`.
  static Cuts from(FuzzInput& input, std::size_t unit = 1) {
    std::vector<std::size_t> sizes(input.byte() % 16);
    for (std::size_t& size : sizes) size = input.byte() * unit;
    return Cuts(std::move(sizes));
  }

  std::size_t next(std::size_t most) noexcept {
    if (sizes_.empty()) return most;
    return std::min(most, sizes_[at_++ % sizes_.size()]);
  }

 private:
  std::vector<std::size_t> sizes_;
  std::size_t at_ = 0;
};

/// The other end of a connection, which does what it is told to.
struct ScriptedPeer {
  static constexpr int kGoesOn = -EAGAIN;
  static constexpr int kCloses = 0;

  std::string sends;
  std::size_t sent = 0;    ///< of that
  Cuts cuts;               ///< how much of it at a time
  int then = kGoesOn;      ///< what reading gives after it: kGoesOn, kCloses, or a negative errno
  std::string took;        ///< what was written to it
  Cuts takes;              ///< how much of it at a time
  bool connected = false;  ///< our end is open

  bool readable() const noexcept { return sent != sends.size() || then != kGoesOn; }
};

/// A loop whose descriptors are scripted peers: nothing of it asks the system. One is made for each input, so that
/// nothing of an input is left for the next one.
class ScriptedWorld {
 public:
  explicit ScriptedWorld(unsigned events_per_turn = LoopOptions().events_per_turn)
      : io_(*this),
        loop_(std::make_unique<ManualPoller>([this](std::vector<pollfd>& asked) { look(asked); }),
              options(events_per_turn), io_) {}

  ManualLoop& loop() noexcept { return loop_; }

  /// The next connection, whoever makes it, is with what this returns.
  ScriptedPeer& next_peer() { return peers_[kFirst + next_]; }
  /// A connection with next_peer().
  ChannelRef connect() { return Channel::make(*loop_, open()); }
  Descriptor open() { return Descriptor(io_, take_descriptor()); }

 private:
  static constexpr int kFirst = 1000;

  class PeerIo final : public Io {
   public:
    explicit PeerIo(ScriptedWorld& world) : world_(world) {}

    ssize_t read(int fd, std::span<std::byte> into) override {
      ScriptedPeer& peer = world_.peer(fd);
      if (peer.sent == peer.sends.size()) return peer.then;
      const std::size_t size = peer.cuts.next(std::min(into.size(), peer.sends.size() - peer.sent));
      if (size == 0) return -EAGAIN;
      std::memcpy(into.data(), peer.sends.data() + peer.sent, size);
      peer.sent += size;
      return static_cast<ssize_t>(size);
    }
    ssize_t receive(int fd, std::span<std::byte> into) override { return read(fd, into); }
    ssize_t write(int fd, std::span<const iovec> from) override {
      ScriptedPeer& peer = world_.peer(fd);
      std::string all;
      for (const iovec& part : from) all.append(static_cast<const char*>(part.iov_base), part.iov_len);
      const std::size_t size = peer.takes.next(all.size());
      if (size == 0) return -EAGAIN;
      peer.took.append(all, 0, size);
      return static_cast<ssize_t>(size);
    }
    ssize_t send(int fd, std::span<const iovec> from) override { return write(fd, from); }
    int connect(const Address&) override { return world_.take_descriptor(); }
    std::error_code connect_result(int) override { return {}; }
    void close(int fd) noexcept override { world_.peer(fd).connected = false; }
    void shutdown_write(int) noexcept override {}
    std::optional<Address> peer_address(int) noexcept override { return std::nullopt; }
    std::optional<PeerCredentials> peer_credentials(int) override { return std::nullopt; }

    int accept(int, Address&) override { return -EAGAIN; }
    Descriptor listen(const Address&, const ListenOptions&) override { throw std::logic_error("nobody listens here"); }
    Address local_address(int) override { return {}; }

   private:
    ScriptedWorld& world_;
  };

  static LoopOptions options(unsigned events_per_turn) {
    LoopOptions options;
    options.events_per_turn = events_per_turn;
    return options;
  }
  ScriptedPeer& peer(int fd) {
    const auto found = peers_.find(fd);
    if (found == peers_.end() || !found->second.connected) snowfox::found("a descriptor is used that is not open");
    return found->second;
  }
  int take_descriptor() {
    ScriptedPeer& peer = next_peer();
    peer.connected = true;
    return kFirst + next_++;
  }
  void look(std::vector<pollfd>& asked) {
    for (pollfd& one : asked) {
      const ScriptedPeer& other = peer(one.fd);
      one.revents = static_cast<short>(one.events & ((other.readable() ? POLLIN : 0) | POLLOUT));
    }
  }

  PeerIo io_;
  std::map<int, ScriptedPeer> peers_;
  int next_ = 0;
  ManualLoop loop_;
};

}  // namespace snowfox
