#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <snowfox/core/io.h>
#include <snowfox/simulation/process.h>
#include <snowfox/sources/child_io.h>
#include <snowfox/sources/process_source.h>

#include "disk.h"
#include "objects.h"

namespace snowfox::simulation {

/// The system calls of one simulated process.
class Kernel final : public Io, public ChildIo {
 public:
  explicit Kernel(Process::State& process) : process_(process) {}

  ssize_t read(int fd, std::span<std::byte> into) override;
  ssize_t receive(int fd, std::span<std::byte> into) override;
  ssize_t write(int fd, std::span<const iovec> from) override;
  ssize_t send(int fd, std::span<const iovec> from) override;
  int accept(int fd, Address& peer) override;
  Descriptor listen(const Address& address, const ListenOptions& options) override;
  int connect(const Address& address) override;
  std::error_code connect_result(int fd) override;
  std::size_t undelivered_bytes(int fd) noexcept override;
  void shutdown_write(int fd) noexcept override;
  void close(int fd) noexcept override;
  Address local_address(int fd) override;
  std::optional<Address> peer_address(int fd) noexcept override;
  std::optional<PeerCredentials> peer_credentials(int fd) override;
  int open(const std::string& path, int flags, mode_t mode) override;
  std::optional<FileStatus> status(int fd) override;
  int sync(int fd) override;
  int truncate(int fd, std::uint64_t bytes) override;
  int rename(const std::string& from, const std::string& to) override;
  int remove(const std::string& path) override;
  int list(const std::string& directory, std::vector<std::string>& names) override;
  Descriptor take_signals(const sigset_t& signals, sigset_t& newly_blocked) override;
  void give_back_signals(const sigset_t& signals, const sigset_t& newly_blocked) noexcept override;
  pid_t process_id() noexcept override;
  pid_t parent_of(pid_t pid) noexcept override;
  ChildIo* children() noexcept override { return this; }

  LaunchedProcess launch(const ProcessOptions& options) override;
  std::optional<ProcessExit> reap(int pidfd, pid_t pid) noexcept override;
  bool ended(int pidfd, int milliseconds) noexcept override;
  int signal(int pidfd, int signal) noexcept override;
  int signal_group(pid_t group, int signal) noexcept override;

  /// 0, or one of `errors`: by chance, at `rate`, or because the sweep's turn has come.
  int trouble(double rate, std::initializer_list<int> errors) noexcept;
  Object* find(int fd) const noexcept;
  std::shared_ptr<Object> share(int fd) const noexcept;
  /// The lowest free number, as the kernel gives it; a negative errno if there is none.
  int open(std::shared_ptr<Object> object);
  void close_all(bool silently) noexcept;

  std::map<int, std::shared_ptr<Object>> table;
  std::size_t most_descriptors = 0;
  std::uint64_t calls = 0;
  std::uint64_t failing_call = 0;

 private:
  template <typename T>
  T* find(int fd, std::string_view what);
  ssize_t read_some(int fd, std::span<std::byte> into, bool socket);
  ssize_t write_some(int fd, std::span<const iovec> from, bool socket);
  ssize_t read_file(OpenFile& file, std::span<std::byte> into);
  ssize_t write_file(OpenFile& file, std::string_view bytes);
  bool full() const noexcept { return most_descriptors != 0 && table.size() >= most_descriptors; }
  int connect_tcp(const Address& address);
  int connect_unix(const Address& address);
  std::size_t draw_room() noexcept;

  Process::State& process_;
};

}  // namespace snowfox::simulation
