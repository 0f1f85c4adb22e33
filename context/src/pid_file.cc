#include <snowfox/context/pid_file.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

namespace snowfox {
namespace {

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::system_category(), what);
}

std::string content_of(int fd) {
  char text[32];
  const ssize_t size = ::pread(fd, text, sizeof text, 0);
  return {text, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

/// The number that a pid file holds; empty if it is empty, nothing if it is no pid file.
bool is_pid(std::string_view text, std::string_view& pid) {
  pid = text.substr(0, text.find('\n'));
  const bool digits = std::all_of(pid.begin(), pid.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  return digits && pid.size() < 16 && text.size() <= pid.size() + 1;
}

bool same_file(int fd, const std::string& path) {
  struct stat open {};
  struct stat there {};
  return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &there) == 0 && open.st_dev == there.st_dev &&
         open.st_ino == there.st_ino;
}

}  // namespace

PidFile::PidFile(std::string path) : path_(std::move(path)) {
  while (!open()) {
  }
  const std::string what = "pid file " + path_;
  const std::string text = std::to_string(::getpid()) + "\n";
  // The mode is exact, whatever the umask.
  if (::fchmod(file_.get(), 0644) != 0 || ::ftruncate(file_.get(), 0) != 0 ||
      ::pwrite(file_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    fail(errno, what);
  }
}

/// False if the file was removed by its last owner before it could be locked: then it is to be made anew.
bool PidFile::open() {
  const std::string what = "pid file " + path_;
  file_ = Descriptor(Io::system(), ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644));
  if (!file_) fail(errno, what);
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) fail(errno, what);
  const std::string text = content_of(file_.get());
  std::string_view pid;
  if (!S_ISREG(status.st_mode) || !is_pid(text, pid)) fail(EINVAL, what + " is something else, which is left alone");
  if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) fail(errno, what);
    fail(EEXIST, what + ": another instance is running, pid " + (pid.empty() ? "unknown" : std::string(pid)));
  }
  return same_file(file_.get(), path_);
}

PidFile::~PidFile() {
  if (!same_file(file_.get(), path_)) return;
  // Who has dropped privileges may not remove it from a directory of root's.
  [[maybe_unused]] const bool gone = ::unlink(path_.c_str()) == 0 || ::ftruncate(file_.get(), 0) == 0;
}

}  // namespace snowfox
