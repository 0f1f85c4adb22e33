#include "daemon/node_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <fmt/format.h>

namespace snowfox::node {
namespace {

constexpr std::chrono::seconds kWaitForFormerNode{15};
constexpr std::chrono::milliseconds kLookAgain{20};

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::system_category(), what); }

bool lets_through(const struct stat& status, const Identity& who) {
  if (who.user == 0) return true;
  if (status.st_uid == who.user) return (status.st_mode & S_IXUSR) != 0;
  if (std::find(who.groups.begin(), who.groups.end(), status.st_gid) != who.groups.end()) {
    return (status.st_mode & S_IXGRP) != 0;
  }
  return (status.st_mode & S_IXOTH) != 0;
}

/// A signal waits that would end us; we do not look at them yet.
bool end_is_asked_for() {
  sigset_t pending;
  sigemptyset(&pending);
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

/// The process that listens at `address`; 0 if none does.
pid_t who_listens(const Address& address) {
  Io& io = Io::system();
  const Descriptor probe(io, io.connect(address));
  if (!probe) return 0;
  const auto peer = io.peer_credentials(probe.get());
  return peer ? peer->pid : 0;
}

/// A directory without directories in it, whose owner may try to lead us elsewhere.
void remove_with_content(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR* directory = fd < 0 ? nullptr : ::fdopendir(fd);
  if (directory == nullptr) {
    if (fd >= 0) ::close(fd);
    return;
  }
  while (const dirent* entry = ::readdir(directory)) ::unlinkat(fd, entry->d_name, 0);
  ::closedir(directory);
  ::rmdir(path.c_str());
}

}  // namespace

NodeDirectory::NodeDirectory(const RunDirectory& directory, const Identity& manager, Log& log) : directory_(directory) {
  make_or_check(manager);
  try {
    take_lock(log);
    make_state(directory_.spawner_state(), 0700, geteuid());
    // The manager's is its own, and what it makes there is of our group: so the spawner comes to the pipes of services
    // without having to be almighty.
    make_state(directory_.manager_state(), manager.changed ? 02750 : 0700, manager.user);
  } catch (...) {
    // Whoever runs here goes on; if nobody does, the directory is ours.
    if (made_) ::rmdir(directory_.path().c_str());
    throw;
  }
}

NodeDirectory::~NodeDirectory() {
  remove_with_content(directory_.manager_state());
  // Holds something only if processes were left.
  ::rmdir(directory_.spawner_state().c_str());
  if (made_) ::rmdir(directory_.path().c_str());
}

void NodeDirectory::make_or_check(const Identity& manager) {
  const std::string& path = directory_.path();
  if (::mkdir(path.c_str(), 0700) == 0) {
    made_ = true;
  } else if (errno != EEXIST) {
    fail("make the run directory " + path);
  }
  handle_ = Descriptor(Io::system(), ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!handle_) fail("open the run directory " + path);
  if (made_) {
    if (manager.shared_group && ::fchown(handle_.get(), uid_t(-1), *manager.shared_group) != 0) {
      fail("give the run directory " + path + " to its group");
    }
    if (::fchmod(handle_.get(), manager.shared_group ? 0750 : 0700) != 0) fail("set the mode of " + path);
    return;
  }
  struct stat status {};
  if (::fstat(handle_.get(), &status) != 0) fail("look at the run directory " + path);
  if (status.st_uid != geteuid() && status.st_uid != 0) {
    throw std::runtime_error(fmt::format("the run directory {} belongs to user {}, not to us", path, status.st_uid));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    throw std::runtime_error(
        fmt::format("the run directory {} has mode {:04o}: others could replace the node's sockets; expected 0700 or "
                    "0750",
                    path, status.st_mode & 07777));
  }
  if (!lets_through(status, manager)) {
    throw std::runtime_error(fmt::format(
        "the run directory {} has mode {:04o}, which does not let user {} through: expected 0750 and a group of its "
        "own",
        path, status.st_mode & 07777, manager.name));
  }
}

void NodeDirectory::make_state(const std::string& path, unsigned mode, uid_t user) const {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) fail("make " + path);
  const Descriptor handle(Io::system(), ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!handle) fail("open " + path);
  struct stat status {};
  if (::fstat(handle.get(), &status) != 0) fail("look at " + path);
  const bool ours = status.st_uid == user && status.st_gid == getegid();
  if (!ours && ::fchown(handle.get(), user, getegid()) != 0) fail("give " + path + " to its user");
  if (::fchmod(handle.get(), mode) != 0) fail("set the mode of " + path);
}

void NodeDirectory::take_lock(Log& log) {
  const auto give_up = std::chrono::steady_clock::now() + kWaitForFormerNode;
  for (bool told = false; ::flock(handle_.get(), LOCK_EX | LOCK_NB) != 0;) {
    if (errno != EWOULDBLOCK && errno != EINTR) fail("lock the run directory " + directory_.path());
    if (const pid_t daemon = who_listens(directory_.daemon_socket())) {
      throw std::runtime_error(fmt::format("another snow-fox-daemon, pid {}, runs in {}", daemon, directory_.path()));
    }
    if (std::chrono::steady_clock::now() > give_up) {
      throw std::runtime_error("processes of a former node still run in " + directory_.path());
    }
    if (end_is_asked_for()) throw std::runtime_error("asked to end while waiting for " + directory_.path());
    if (!std::exchange(told, true)) {
      log.info("daemon", "waiting for the processes of a former node to end", {{"directory", directory_.path()}});
    }
    std::this_thread::sleep_for(kLookAgain);
  }
}

}  // namespace snowfox::node
