#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <snowfox/core/address.h>

namespace snowfox {

class ChildIo;
class Io;

/// An open descriptor and its one owner: closed, through the Io it came from, when the owner goes.
class Descriptor {
 public:
  Descriptor() = default;
  /// Takes over `fd`. `io` must outlive it.
  Descriptor(Io& io, int fd) noexcept : io_(&io), fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : io_(other.io_), fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(io_, other.io_);
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  Io& io() const noexcept { return *io_; }
  /// Gives the descriptor up without closing it.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  void reset() noexcept;

 private:
  Io* io_ = nullptr;
  int fd_ = -1;
};

/// How a listening socket is made.
struct ListenOptions {
  int backlog = 1024;                    ///< connections the kernel keeps until they are accepted
  unsigned unix_mode = 0600;             ///< permissions of a Unix socket's file, exact whatever the umask is
  std::optional<uid_t> unix_owner = {};  ///< whose that file is, if it is to be another's than the process's own
  std::optional<gid_t> unix_group = {};
  bool reuse_port = false;  ///< SO_REUSEPORT: several processes share one TCP address
};

/// What an open file is.
struct FileStatus {
  bool regular = false;  ///< no directory, pipe or device
  std::uint64_t bytes = 0;
};

/// The system calls of sources and drains, so that a simulated world can answer them instead. All are non-blocking; all
/// descriptors are made close-on-exec. Those that return a count or descriptor return a negative errno on failure, and
/// never -EINTR.
class Io {
 public:
  virtual ~Io() = default;

  /// The real one. Stateless: it may be used by all, for ever.
  static Io& system() noexcept;

  virtual ssize_t read(int fd, std::span<std::byte> into) = 0;
  /// From a socket.
  virtual ssize_t receive(int fd, std::span<std::byte> into) = 0;
  /// Writes to anything but a socket. The program must ignore SIGPIPE; Process does.
  virtual ssize_t write(int fd, std::span<const iovec> from) = 0;
  /// To a socket; a peer that is gone is -EPIPE, never a signal.
  virtual ssize_t send(int fd, std::span<const iovec> from) = 0;

  /// A connection that waits at the listening socket `fd`. `peer` is where it came from.
  virtual int accept(int fd, Address& peer) = 0;
  /// A listening socket. A Unix socket's file that nobody listens at is replaced; one that somebody does is EADDRINUSE.
  /// Throws std::system_error naming the address.
  virtual Descriptor listen(const Address& address, const ListenOptions& options) = 0;
  /// A socket on its way to `address`: when it is writable, connect_result() tells. A negative errno if it fails at
  /// once.
  virtual int connect(const Address& address) = 0;
  /// How a connection under way ended: no error if it stands, EINPROGRESS if it has not ended.
  virtual std::error_code connect_result(int fd) = 0;
  /// How much of what was sent over TCP the peer's system has not got: closing with something unread still on our side
  /// would destroy it. 0 for all that is not TCP, where sent is delivered.
  virtual std::size_t undelivered_bytes(int) noexcept { return 0; }
  /// Says that nothing more will be sent.
  virtual void shutdown_write(int fd) noexcept = 0;
  virtual void close(int fd) noexcept = 0;

  /// Where a socket is bound to: tells the port that was chosen for port 0.
  virtual Address local_address(int fd) = 0;
  /// Where a connected socket's other end is; nothing if it has none or no name, as most ends of Unix sockets.
  virtual std::optional<Address> peer_address(int fd) noexcept = 0;
  /// Of a connected Unix socket; nothing for TCP.
  virtual std::optional<PeerCredentials> peer_credentials(int fd) = 0;

  // --- files: the system's, unless this is a world that has its own. These may wait for the disk. Those that return an
  // int return 0, or a negative errno on failure ---

  /// What open(2) opens, with its `flags` and, for a new file, `mode`: for read() and write(). It is close-on-exec, is
  /// not held up by a pipe that nobody writes to, and becomes no controlling terminal. A negative errno on failure.
  virtual int open(const std::string& path, int flags, mode_t mode = 0644);
  /// Nothing if the system does not tell.
  virtual std::optional<FileStatus> status(int fd);
  /// When it returns, what was written to the file will be there even if the power fails; of a directory: which files
  /// it has, and under which names. After a failure what was written since the last success may be lost, even if a
  /// later call succeeds.
  virtual int sync(int fd);
  /// What is beyond so many bytes is gone.
  virtual int truncate(int fd, std::uint64_t bytes);
  /// At no moment is there no `to`, if there was one.
  virtual int rename(const std::string& from, const std::string& to);
  virtual int remove(const std::string& path);
  /// The names in `directory`, in no order, but for `.` and `..`; -ENOTDIR if it is a file.
  virtual int list(const std::string& directory, std::vector<std::string>& names);

  // --- signals and processes: the system's, unless this is a world that has its own ---

  /// A descriptor from which the `signals` sent to the process are read, each a signalfd_siginfo (signalfd(2)). They
  /// are blocked in the calling thread; `newly_blocked` becomes those that were not before. Throws std::system_error if
  /// they are taken already, or if no descriptor is left.
  virtual Descriptor take_signals(const sigset_t& signals, sigset_t& newly_blocked);
  /// Ends that, on the same thread, when the descriptor has been closed.
  virtual void give_back_signals(const sigset_t& signals, const sigset_t& newly_blocked) noexcept;

  /// What the process is called, and who started the process `pid`; 0 if there is no such process.
  virtual pid_t process_id() noexcept;
  virtual pid_t parent_of(pid_t pid) noexcept;
  /// Who starts children, for ProcessSource; null: the system.
  virtual ChildIo* children() noexcept { return nullptr; }
};

inline void Descriptor::reset() noexcept {
  if (fd_ >= 0) io_->close(std::exchange(fd_, -1));
}

}  // namespace snowfox
