#pragma once

#include <snowfox/core/io.h>

namespace snowfox {

/// Passes every call on to Io::system(). A test derives from it what it wants to see or to fail.
class PassingIo : public Io {
 public:
  ssize_t read(int fd, std::span<std::byte> into) override { return system().read(fd, into); }
  ssize_t receive(int fd, std::span<std::byte> into) override { return system().receive(fd, into); }
  ssize_t write(int fd, std::span<const iovec> from) override { return system().write(fd, from); }
  ssize_t send(int fd, std::span<const iovec> from) override { return system().send(fd, from); }
  int accept(int fd, Address& peer) override { return system().accept(fd, peer); }
  Descriptor listen(const Address& address, const ListenOptions& options) override {
    return Descriptor(*this, system().listen(address, options).release());
  }
  int connect(const Address& address) override { return system().connect(address); }
  std::error_code connect_result(int fd) override { return system().connect_result(fd); }
  std::size_t undelivered_bytes(int fd) noexcept override { return system().undelivered_bytes(fd); }
  void shutdown_write(int fd) noexcept override { system().shutdown_write(fd); }
  void close(int fd) noexcept override { system().close(fd); }
  Address local_address(int fd) override { return system().local_address(fd); }
  std::optional<Address> peer_address(int fd) noexcept override { return system().peer_address(fd); }
  std::optional<PeerCredentials> peer_credentials(int fd) override { return system().peer_credentials(fd); }
  Descriptor take_signals(const sigset_t& signals, sigset_t& newly_blocked) override {
    return Descriptor(*this, system().take_signals(signals, newly_blocked).release());
  }
};

}  // namespace snowfox
