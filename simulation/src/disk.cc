#include "disk.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace snowfox::simulation {
namespace {

/// With a slash at its end.
std::string as_directory(const std::string& path) { return path.ends_with('/') ? path : path + '/'; }

bool is_in(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) && path.find('/', directory.size()) == std::string_view::npos;
}

}  // namespace

// --- what is in a file ---

void Inode::Change::apply_to(std::string& content, std::size_t most) const {
  if (cut) return content.resize(offset);
  const std::size_t size = std::min(bytes.size(), most);
  if (content.size() < offset + size) content.resize(offset + size);
  content.replace(offset, size, bytes, 0, size);
}

void Inode::change(Change change) {
  change.apply_to(bytes_, change.bytes.size());
  unsynced_.push_back(std::move(change));
}

void Inode::sync() {
  for (const Change& change : std::exchange(unsynced_, {})) change.apply_to(kept_, change.bytes.size());
}

void Inode::lose_some(Random& random) {
  for (const Change& change : std::exchange(unsynced_, {})) {
    if (random.below(2) == 0) continue;
    change.apply_to(kept_, random.below(2) == 0 ? change.bytes.size() : random.below(change.bytes.size() + 1));
  }
}

// --- which files there are ---

std::shared_ptr<Inode> Disk::find(const std::string& path) const {
  const auto found = names_.find(path);
  return found == names_.end() ? nullptr : found->second;
}

bool Disk::has_directory(const std::string& path) const {
  const std::string directory = as_directory(path);
  const auto first = names_.lower_bound(directory);
  return first != names_.end() && first->first.starts_with(directory);
}

std::vector<std::string> Disk::list(const std::string& path) const {
  const std::string directory = as_directory(path);
  std::vector<std::string> found;
  for (auto at = names_.lower_bound(directory); at != names_.end() && at->first.starts_with(directory); ++at) {
    const std::string name =
        at->first.substr(directory.size(), at->first.find('/', directory.size()) - directory.size());
    if (found.empty() || found.back() != name) found.push_back(name);
  }
  return found;
}

std::shared_ptr<Inode> Disk::create(const std::string& path) {
  auto inode = std::make_shared<Inode>();
  change({{path, inode}});
  return inode;
}

bool Disk::rename(const std::string& from, const std::string& to) {
  auto inode = find(from);
  if (!inode) return false;
  if (from != to) change({{from, nullptr}, {to, std::move(inode)}});
  return true;
}

bool Disk::remove(const std::string& path) {
  if (!find(path)) return false;
  change({{path, nullptr}});
  return true;
}

void Disk::apply(const Change& change, Names& names) {
  for (const auto& [path, inode] : change) {
    if (inode) {
      names[path] = inode;
    } else {
      names.erase(path);
    }
  }
}

void Disk::change(Change change) {
  apply(change, names_);
  unsynced_.push_back(std::move(change));
}

void Disk::sync_directory(const std::string& path) {
  const std::string directory = as_directory(path);
  std::erase_if(unsynced_, [&](const Change& change) {
    const bool here =
        std::any_of(change.begin(), change.end(), [&](const auto& entry) { return is_in(entry.first, directory); });
    if (here) apply(change, kept_);
    return here;
  });
}

void Disk::lose_power(Random& random) {
  const std::size_t kept = random.below(unsynced_.size() + 1);
  for (std::size_t i = 0; i < kept; ++i) apply(unsynced_[i], kept_);
  unsynced_.clear();
  names_ = kept_;
  for (const auto& [_, inode] : names_) {
    inode->lose_some(random);
    inode->forget();
  }
}

// --- an open file ---

ssize_t OpenFile::read(char* into, std::size_t most) {
  if ((flags_ & O_ACCMODE) == O_WRONLY) return -EBADF;
  const std::string& bytes = inode_->bytes();
  if (offset_ >= bytes.size()) return 0;
  const std::size_t count = bytes.copy(into, most, offset_);
  offset_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t OpenFile::write(std::string_view bytes) {
  if ((flags_ & O_ACCMODE) == O_RDONLY) return -EBADF;
  if ((flags_ & O_APPEND) != 0) offset_ = inode_->bytes().size();
  inode_->write(offset_, bytes);
  offset_ += bytes.size();
  return static_cast<ssize_t>(bytes.size());
}

}  // namespace snowfox::simulation
