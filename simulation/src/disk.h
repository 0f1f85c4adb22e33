#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/simulation/random.h>

#include "objects.h"

namespace snowfox::simulation {

/// A file: as its readers see it, and as it would be found if the power failed now.
class Inode {
 public:
  const std::string& bytes() const noexcept { return bytes_; }
  void write(std::uint64_t offset, std::string_view bytes) { change({offset, std::string(bytes), false}); }
  void truncate(std::uint64_t bytes) { change({bytes, {}, true}); }
  /// What was changed since the last time is on the disk.
  void sync();
  /// Of what was changed since then some is on the disk, in any choice and perhaps in part, and no later sync() writes
  /// the rest: as after the kernel was told of an error.
  void lose_some(Random& random);
  /// There is only what is on the disk.
  void forget() {
    bytes_ = kept_;
    unsynced_.clear();
  }

 private:
  struct Change {
    std::uint64_t offset;
    std::string bytes;
    bool cut;  // everything from the offset on
    void apply_to(std::string& content, std::size_t most) const;
  };
  void change(Change change);

  std::string bytes_;
  std::string kept_;
  std::vector<Change> unsynced_;
};

/// The files of a host. Directories are all there, as far as files are in them. Which files there are, and under which
/// names, must be synced by their directory, as what is in them by the file.
class Disk {
 public:
  std::shared_ptr<Inode> find(const std::string& path) const;
  bool has_directory(const std::string& path) const;
  /// The names of what is in it.
  std::vector<std::string> list(const std::string& directory) const;
  std::shared_ptr<Inode> create(const std::string& path);
  /// False if there is none.
  bool rename(const std::string& from, const std::string& to);
  bool remove(const std::string& path);
  void sync_directory(const std::string& directory);
  /// Of the names that were not synced the first ones are kept, of what is in the files anything.
  void lose_power(Random& random);

 private:
  using Names = std::map<std::string, std::shared_ptr<Inode>, std::less<>>;
  /// All of it or nothing. Null: there is no such file any more.
  using Change = std::vector<std::pair<std::string, std::shared_ptr<Inode>>>;
  static void apply(const Change& change, Names& names);
  void change(Change change);

  Names names_;
  Names kept_;
  std::vector<Change> unsynced_;
};

/// An open file.
class OpenFile final : public Object {
 public:
  OpenFile(std::string path, int flags, std::shared_ptr<Inode> inode)
      : path_(std::move(path)), flags_(flags), inode_(std::move(inode)) {}
  std::string describe() const override { return "file " + path_; }
  bool readable() const override { return true; }
  bool writable() const override { return true; }
  void closed(bool) override {}

  /// As read(2) and write(2).
  ssize_t read(char* into, std::size_t most);
  ssize_t write(std::string_view bytes);
  Inode& inode() noexcept { return *inode_; }

 private:
  std::string path_;
  int flags_;
  std::shared_ptr<Inode> inode_;
  std::uint64_t offset_ = 0;
};

/// An open directory, which can only be synced.
class OpenDirectory final : public Object {
 public:
  explicit OpenDirectory(std::string where) : path(std::move(where)) {}
  std::string describe() const override { return "directory " + path; }
  bool readable() const override { return false; }
  void closed(bool) override {}

  std::string path;
};

}  // namespace snowfox::simulation
