#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/channel.h>
#include <snowfox/core/event.h>
#include <snowfox/core/event_source.h>

struct inotify_event;

namespace snowfox {

/// What has happened to a file.
struct FileChange {
  enum class Kind : std::uint8_t {
    Created,   ///< it is there now; if it is being written, Modified follows
    Modified,  ///< it was closed after writing, or replaced by another
    Removed,   ///< it is there no more, or moved to where nobody watches
    Moved,     ///< in watched directories: it was called `from` and is called `path` now
    Overflow,  ///< changes were lost: look at everything again. Has no path.
  };
  Kind kind;
  std::string path;  ///< as it was given to add(); for what is in a watched directory, followed by a slash and its name
  std::string from = {};
  bool is_directory = false;
  /// The path is watched no more, because the directory that was watched for it is gone. add() it again when there is
  /// one.
  bool watch_ended = false;
};

/// A watched file or directory has changed.
class FileChanged final : public Event {
 public:
  using Handler = std::function<void(const FileChange& change)>;
  FileChanged(std::shared_ptr<const Handler> handler, FileChange change)
      : handler_(std::move(handler)), change_(std::move(change)) {}
  void handle() override { (*handler_)(change_); }
  std::string_view name() const noexcept override { return "FileChanged"; }
  const FileChange& change() const noexcept { return change_; }

 private:
  std::shared_ptr<const Handler> handler_;
  FileChange change_;
};

/// Changes of files and directories, by inotify.
///
/// A file is watched by its name, in its directory: an editor that writes a new file and renames it over the old one
/// gives one Modified, and a file that is removed and made again is still watched. A symbolic link is watched as
/// itself: that it is replaced is told, what happens to the file it leads to is not. A directory is watched for what is
/// directly in it, not below.
///
/// The kernel joins equal changes that follow each other at once, and when more than fs.inotify.max_queued_events wait
/// it drops the rest and says so: FileChange::Kind::Overflow. So does the source if it has no memory for a change.
class FileWatchSource final : public EventSource {
 public:
  using Handler = FileChanged::Handler;

  /// Watches nothing yet. Throws std::system_error if the limit of watchers, fs.inotify.max_user_instances, is reached.
  FileWatchSource(LoopManager& loop, Handler on_change);

  /// Watches a file or directory, which must be there. Twice is once.
  /// Throws std::system_error naming the path if it is not there, or may not be read, or if the limit of watched
  /// directories, fs.inotify.max_user_watches, is reached.
  void add(const std::string& path);
  /// False if it is not watched. What has already happened to it may still be told.
  bool remove(const std::string& path);
  /// How many paths are watched.
  std::size_t size() const noexcept { return watched_.size(); }

  EventRef parse() override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override;

 private:
  struct Watched {
    int watch;         // the kernel's number for the directory; several paths may share it
    std::string file;  // the name in that directory; empty if the directory itself is meant
    bool there = true;
  };
  using Paths = std::map<std::string, Watched>;

  bool read();
  void take(const inotify_event& event);
  void take_move(const inotify_event& from, const inotify_event& to);
  void take_in_directory(const std::string& directory, const inotify_event& event);
  void take_file(const std::string& path, Watched& watched, const inotify_event& event);
  void end_watch(int watch);
  /// A watched directory with this number, or null.
  const std::string* directory_of(int watch) const;
  void on_pause_changed() noexcept override;
  void on_removed() noexcept override { channel_.reset(); }

  std::shared_ptr<const Handler> handler_;
  Paths watched_;
  std::multimap<int, Paths::iterator> by_watch_;
  std::deque<FileChange> changes_;
  bool lost_ = false;   // there was no memory for some: Overflow is to be told
  ChannelRef channel_;  // null once removed
};

}  // namespace snowfox
