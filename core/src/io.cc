#include <snowfox/core/io.h>

#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>

#include <snowfox/core/signal_name.h>

namespace snowfox {
namespace {

template <typename Call>
auto retry_interrupted(Call call) noexcept {
  for (;;) {
    const auto result = call();
    if (result >= 0) return result;
    if (errno != EINTR) return static_cast<decltype(result)>(-errno);
  }
}

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::system_category(), what);
}

void no_delay(int fd, int family) noexcept {
  // An answer that waits for the acknowledgement of the one before would be late by up to 40 ms.
  const int on = 1;
  if (family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// Signals belong to the process, so which of them are taken is known to the process: a bit each.
std::atomic<std::uint64_t> taken_signals{0};

std::uint64_t bits(const sigset_t& signals) noexcept {
  std::uint64_t all = 0;
  for (int signal = 1; signal < NSIG; ++signal) {
    if (sigismember(&signals, signal) == 1) all |= std::uint64_t{1} << (signal - 1);
  }
  return all;
}

sigset_t set_of(std::uint64_t bits) noexcept {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal = 1; signal < NSIG; ++signal) {
    if ((bits >> (signal - 1) & 1) != 0) sigaddset(&signals, signal);
  }
  return signals;
}

struct CloseDirectory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

class SystemIo final : public Io {
 public:
  ssize_t read(int fd, std::span<std::byte> into) override {
    return retry_interrupted([&] { return ::read(fd, into.data(), into.size()); });
  }
  ssize_t receive(int fd, std::span<std::byte> into) override {
    return retry_interrupted([&] { return ::recv(fd, into.data(), into.size(), MSG_DONTWAIT); });
  }
  ssize_t write(int fd, std::span<const iovec> from) override {
    return retry_interrupted([&] { return ::writev(fd, from.data(), static_cast<int>(from.size())); });
  }
  ssize_t send(int fd, std::span<const iovec> from) override {
    if (from.size() == 1) {
      return retry_interrupted(
          [&] { return ::send(fd, from[0].iov_base, from[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT); });
    }
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(from.data());
    message.msg_iovlen = from.size();
    return retry_interrupted([&] { return ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
  }

  int accept(int fd, Address& peer) override {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const int accepted = retry_interrupted([&] {
      size = sizeof address;
      return ::accept4(fd, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    });
    if (accepted >= 0) {
      peer = Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), size);
      no_delay(accepted, address.ss_family);
    }
    return accepted;
  }

  Descriptor listen(const Address& address, const ListenOptions& options) override {
    const std::string what = "listen on " + address.str();
    Descriptor socket(*this, ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) fail(errno, what);
    const int on = 1;
    if (address.is_unix()) {
      bind_unix(socket.get(), address, options, what);
    } else {
      setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (options.reuse_port && setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
        fail(errno, what);
      }
      if (address.family() == AF_INET6) setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
      if (::bind(socket.get(), address.data(), address.size()) != 0) fail(errno, what);
    }
    if (::listen(socket.get(), options.backlog) != 0) fail(errno, what);
    return socket;
  }

  int connect(const Address& address) override {
    const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    no_delay(fd, address.family());
    const int result = retry_interrupted([&] { return ::connect(fd, address.data(), address.size()); });
    if (result < 0 && result != -EINPROGRESS) {
      ::close(fd);
      return result;
    }
    return fd;
  }
  std::error_code connect_result(int fd) override {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) return {error, std::system_category()};
    // No error is also what a connection has that is still under way.
    sockaddr_storage peer{};
    size = sizeof peer;
    const bool stands = getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 || errno != ENOTCONN;
    return {stands ? 0 : EINPROGRESS, std::system_category()};
  }
  std::size_t undelivered_bytes(int fd) noexcept override {
    int protocol = 0;
    socklen_t size = sizeof protocol;
    if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0 || protocol != IPPROTO_TCP) return 0;
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
  }
  void shutdown_write(int fd) noexcept override { ::shutdown(fd, SHUT_WR); }
  void close(int fd) noexcept override { ::close(fd); }

  Address local_address(int fd) override {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) fail(errno, "read a socket's address");
    return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), size);
  }
  std::optional<Address> peer_address(int fd) noexcept override {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::nullopt;
    const Address peer = Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), size);
    if (peer.is_unix() && peer.path().empty()) return std::nullopt;
    return peer;
  }
  std::optional<PeerCredentials> peer_credentials(int fd) override {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) return std::nullopt;
    return PeerCredentials{peer.pid, peer.uid, peer.gid};
  }

  int open(const std::string& path, int flags, mode_t mode) override {
    return retry_interrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode); });
  }
  std::optional<FileStatus> status(int fd) override {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return std::nullopt;
    return FileStatus{S_ISREG(status.st_mode), static_cast<std::uint64_t>(status.st_size)};
  }
  int sync(int fd) override {
    // One that was interrupted may have failed: to ask again would be told success.
    return ::fsync(fd) == 0 ? 0 : -errno;
  }
  int truncate(int fd, std::uint64_t bytes) override {
    return retry_interrupted([&] { return ::ftruncate(fd, static_cast<off_t>(bytes)); });
  }
  int rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : -errno;
  }
  int remove(const std::string& path) override { return ::unlink(path.c_str()) == 0 ? 0 : -errno; }
  int list(const std::string& directory, std::vector<std::string>& names) override {
    const std::unique_ptr<DIR, CloseDirectory> opened(::opendir(directory.c_str()));
    if (!opened) return -errno;
    names.clear();
    errno = 0;
    while (const dirent* entry = ::readdir(opened.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
    return -errno;
  }

  Descriptor take_signals(const sigset_t& signals, sigset_t& newly_blocked) override {
    const std::uint64_t wanted = bits(signals);
    std::uint64_t others = taken_signals.load();
    do {
      if ((others & wanted) != 0) {
        fail(EBUSY, "another SignalSource waits for " + signal_names(set_of(others & wanted)));
      }
    } while (!taken_signals.compare_exchange_weak(others, others | wanted));

    Descriptor descriptor(*this, signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!descriptor) {
      const int error = errno;
      taken_signals.fetch_and(~wanted);
      fail(error, "wait for " + signal_names(signals));
    }
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    newly_blocked = set_of(wanted & ~bits(before));
    return descriptor;
  }
  void give_back_signals(const sigset_t& signals, const sigset_t& newly_blocked) noexcept override {
    pthread_sigmask(SIG_UNBLOCK, &newly_blocked, nullptr);
    taken_signals.fetch_and(~bits(signals));
  }

  pid_t process_id() noexcept override { return ::getpid(); }
  pid_t parent_of(pid_t pid) noexcept override try {
    if (pid == ::getpid()) return ::getppid();
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(file, line);
    // The second field is the program's name in parentheses, which may itself hold any character (proc(5)).
    const std::size_t name_end = line.rfind(')');
    if (name_end == std::string::npos) return 0;
    std::istringstream rest(line.substr(name_end + 1));
    char state = '\0';
    pid_t parent = 0;
    rest >> state >> parent;
    return rest ? parent : 0;
  } catch (const std::exception&) {
    return 0;
  }

 private:
  // A socket file stays when its process dies without removing it. Connecting tells whether anybody listens: only a
  // file that is a socket and refuses is removed.
  void bind_unix(int fd, const Address& address, const ListenOptions& options, const std::string& what) {
    const std::string path(address.path());
    // bind(2) gives the file the socket's own mode less the umask (unix(7)): there is no moment at which others may
    // connect. chmod(2) then adds what the umask took.
    if (::fchmod(fd, options.unix_mode) != 0) fail(errno, what);
    int bound = ::bind(fd, address.data(), address.size());
    if (bound != 0 && errno == EADDRINUSE && remove_stale(address, path)) {
      bound = ::bind(fd, address.data(), address.size());
    }
    if (bound != 0) fail(errno, what);
    if (::chmod(path.c_str(), options.unix_mode) != 0) fail(errno, what);
    if ((options.unix_owner || options.unix_group) &&
        ::lchown(path.c_str(), options.unix_owner.value_or(uid_t(-1)), options.unix_group.value_or(gid_t(-1))) != 0) {
      const int error = errno;
      ::unlink(path.c_str());
      fail(error, what + ": change the owner");
    }
  }

  bool remove_stale(const Address& address, const std::string& path) noexcept {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return errno == ENOENT;
    if (!S_ISSOCK(status.st_mode)) {
      errno = EADDRINUSE;
      return false;
    }
    const int probe = connect(address);
    if (probe >= 0) ::close(probe);
    if (probe != -ECONNREFUSED || ::unlink(path.c_str()) != 0) {
      errno = EADDRINUSE;
      return false;
    }
    return true;
  }
};

}  // namespace

int Io::open(const std::string& path, int flags, mode_t mode) { return system().open(path, flags, mode); }
std::optional<FileStatus> Io::status(int fd) { return system().status(fd); }
int Io::sync(int fd) { return system().sync(fd); }
int Io::truncate(int fd, std::uint64_t bytes) { return system().truncate(fd, bytes); }
int Io::rename(const std::string& from, const std::string& to) { return system().rename(from, to); }
int Io::remove(const std::string& path) { return system().remove(path); }
int Io::list(const std::string& directory, std::vector<std::string>& names) { return system().list(directory, names); }

Descriptor Io::take_signals(const sigset_t& signals, sigset_t& newly_blocked) {
  return system().take_signals(signals, newly_blocked);
}
void Io::give_back_signals(const sigset_t& signals, const sigset_t& newly_blocked) noexcept {
  system().give_back_signals(signals, newly_blocked);
}
pid_t Io::process_id() noexcept { return system().process_id(); }
pid_t Io::parent_of(pid_t pid) noexcept { return system().parent_of(pid); }

Io& Io::system() noexcept {
  static SystemIo io;
  return io;
}

}  // namespace snowfox
