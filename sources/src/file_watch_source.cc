#include <snowfox/sources/file_watch_source.h>

#include <sys/inotify.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <span>
#include <system_error>
#include <tuple>

#include <snowfox/core/loop_manager.h>

namespace snowfox {
namespace {

using Kind = FileChange::Kind;

constexpr std::uint32_t kMask =
    IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr std::size_t kReadBytes = 16U << 10;
static_assert(kReadBytes > sizeof(inotify_event) + NAME_MAX + 1);

[[noreturn]] void throw_error(int error, const std::string& what) {
  throw std::system_error(error, std::system_category(), what);
}

std::string in_directory(const std::string& directory, const char* name) {
  return directory + (directory.ends_with('/') ? "" : "/") + name;
}

/// Where a file is, and its name there.
std::pair<std::string, std::string> split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {path.substr(0, slash == 0 ? 1 : slash), path.substr(slash + 1)};
}

bool is_directory(const inotify_event& event) { return (event.mask & IN_ISDIR) != 0; }

}  // namespace

FileWatchSource::FileWatchSource(LoopManager& loop, Handler on_change)
    : EventSource(loop), handler_(std::make_shared<const Handler>(std::move(on_change))) {
  Descriptor descriptor(Io::system(), inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!descriptor) {
    const int error = errno;
    throw_error(error, error == EMFILE ? "watch files: the limit of descriptors or fs.inotify.max_user_instances"
                                       : "watch files");
  }
  channel_ = Channel::make(loop, std::move(descriptor));
  channel_->set_source(this);
  if (!channel_->watch_read(true)) throw_error(EIO, "watch files");
}

void FileWatchSource::add(const std::string& path) {
  if (watched_.contains(path)) return;
  struct stat status {};
  Watched watched{-1, {}};
  std::string directory = path;
  if (stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    if (lstat(path.c_str(), &status) != 0) throw_error(errno, "watch " + path);
    std::tie(directory, watched.file) = split(path);
  }
  watched.watch = inotify_add_watch(channel_->fd(), directory.c_str(), kMask);
  if (watched.watch < 0) {
    const int error = errno;
    throw_error(error, "watch " + path + (error == ENOSPC ? ": the limit fs.inotify.max_user_watches" : ""));
  }
  const int watch = watched.watch;
  const auto added = watched_.emplace(path, std::move(watched)).first;
  try {
    by_watch_.emplace(watch, added);
  } catch (...) {
    watched_.erase(added);
    throw;
  }
}

bool FileWatchSource::remove(const std::string& path) {
  const auto found = watched_.find(path);
  if (found == watched_.end()) return false;
  const int watch = found->second.watch;
  auto [begin, end] = by_watch_.equal_range(watch);
  while (begin->second != found) ++begin;
  by_watch_.erase(begin);
  watched_.erase(found);
  if (!by_watch_.contains(watch) && channel_) inotify_rm_watch(channel_->fd(), watch);
  return true;
}

EventRef FileWatchSource::parse() {
  while (changes_.empty()) {
    if (lost_) {
      auto event = std::make_unique<FileChanged>(handler_, FileChange{Kind::Overflow, {}});
      lost_ = false;
      return event;
    }
    if (!read()) return nullptr;
  }
  EventRef event = std::make_unique<FileChanged>(handler_, std::move(changes_.front()));
  changes_.pop_front();
  return event;
}

/// False if nothing has happened.
bool FileWatchSource::read() {
  alignas(inotify_event) std::array<std::byte, kReadBytes> bytes;
  const ssize_t size = channel_->io().read(channel_->fd(), bytes);
  if (size == -EAGAIN) return false;
  if (size <= 0) throw_error(static_cast<int>(-size), "read changes of files");

  const auto event_at = [&](std::size_t offset) { return reinterpret_cast<const inotify_event*>(&bytes[offset]); };
  const auto end = static_cast<std::size_t>(size);
  lost_ = true;  // unless all of it finds memory
  for (std::size_t offset = 0; offset < end;) {
    const inotify_event& event = *event_at(offset);
    offset += sizeof event + event.len;
    // The two halves of a move follow each other, but for rare cases in which it is told as Removed and Created.
    const inotify_event* next = offset < end ? event_at(offset) : nullptr;
    if ((event.mask & IN_MOVED_FROM) != 0 && next != nullptr && (next->mask & IN_MOVED_TO) != 0 &&
        next->cookie == event.cookie) {
      take_move(event, *next);
      offset += sizeof event + next->len;
    } else {
      take(event);
    }
  }
  lost_ = false;
  return true;
}

void FileWatchSource::take(const inotify_event& event) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) {
    changes_.push_back({Kind::Overflow, {}});
    return;
  }
  if ((event.mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
    end_watch(event.wd);
    return;
  }
  const auto [begin, end] = by_watch_.equal_range(event.wd);
  for (auto at = begin; at != end; ++at) {
    auto& [path, watched] = *at->second;
    if (watched.file.empty()) {
      take_in_directory(path, event);
    } else if (watched.file == event.name) {
      take_file(path, watched, event);
    }
  }
}

// Both ends seen from their directories are one change. Files that are watched by name have only theirs.
void FileWatchSource::take_move(const inotify_event& from, const inotify_event& to) {
  const std::string* from_directory = directory_of(from.wd);
  const std::string* to_directory = directory_of(to.wd);
  const bool both = from_directory != nullptr && to_directory != nullptr;
  if (both) {
    changes_.push_back({.kind = Kind::Moved,
                        .path = in_directory(*to_directory, to.name),
                        .from = in_directory(*from_directory, from.name),
                        .is_directory = is_directory(from)});
  }
  for (const inotify_event* event : {&from, &to}) {
    const auto [begin, end] = by_watch_.equal_range(event->wd);
    for (auto at = begin; at != end; ++at) {
      auto& [path, watched] = *at->second;
      if (watched.file.empty()) {
        if (!both) take_in_directory(path, *event);
      } else if (watched.file == event->name) {
        take_file(path, watched, *event);
      }
    }
  }
}

void FileWatchSource::take_in_directory(const std::string& directory, const inotify_event& event) {
  const Kind kind = (event.mask & (IN_CREATE | IN_MOVED_TO)) != 0     ? Kind::Created
                    : (event.mask & (IN_DELETE | IN_MOVED_FROM)) != 0 ? Kind::Removed
                                                                      : Kind::Modified;
  changes_.push_back({.kind = kind, .path = in_directory(directory, event.name), .is_directory = is_directory(event)});
}

void FileWatchSource::take_file(const std::string& path, Watched& watched, const inotify_event& event) {
  const bool was_there = watched.there;
  watched.there = (event.mask & (IN_DELETE | IN_MOVED_FROM)) == 0;
  const Kind kind = !watched.there                                    ? Kind::Removed
                    : was_there || (event.mask & IN_CLOSE_WRITE) != 0 ? Kind::Modified
                                                                      : Kind::Created;
  changes_.push_back({.kind = kind, .path = path, .is_directory = is_directory(event)});
}

void FileWatchSource::end_watch(int watch) {
  auto [at, end] = by_watch_.equal_range(watch);
  if (at == end) return;
  while (at != end) {
    const auto& [path, watched] = *at->second;
    changes_.push_back(
        {.kind = Kind::Removed, .path = path, .is_directory = watched.file.empty(), .watch_ended = true});
    watched_.erase(at->second);
    at = by_watch_.erase(at);
  }
  inotify_rm_watch(channel_->fd(), watch);  // a directory that was moved is still watched
}

const std::string* FileWatchSource::directory_of(int watch) const {
  const auto [begin, end] = by_watch_.equal_range(watch);
  for (auto at = begin; at != end; ++at) {
    if (at->second->second.file.empty()) return &at->second->first;
  }
  return nullptr;
}

void FileWatchSource::on_pause_changed() noexcept {
  if (channel_) channel_->watch_read(!paused());
}

std::string FileWatchSource::name() const { return "file watch of " + std::to_string(watched_.size()) + " paths"; }

}  // namespace snowfox
