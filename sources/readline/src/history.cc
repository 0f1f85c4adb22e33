#include "history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <new>
#include <utility>

#include <snowfox/core/io.h>

namespace snowfox {
namespace {

std::error_code last_error() { return {errno, std::system_category()}; }

std::error_code write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) return last_error();
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

/// What was typed is nobody else's business, whatever the umask and whoever made the file.
Descriptor open_private(const std::string& path, int flags) {
  Descriptor file(Io::system(), open(path.c_str(), flags | O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600));
  if (file && fchmod(file.get(), 0600) != 0) return {};
  return file;
}

}  // namespace

LineHistory::LineHistory(std::string path, std::size_t limit)
    : history_(history_init()), path_(std::move(path)), limit_(limit) {
  if (!history_) throw std::bad_alloc();
  HistEvent event;
  history(history_.get(), &event, H_SETSIZE, static_cast<int>(limit_));
  history(history_.get(), &event, H_SETUNIQUE, 1);
}

std::error_code LineHistory::load() {
  if (path_.empty()) return {};
  std::error_code error;
  // Rewriting puts a new file in the old one's place: of the file itself, not of a link to it.
  if (const auto real = std::filesystem::canonical(path_, error); !error) path_ = real.string();
  std::ifstream file(path_);
  if (!file) return errno == ENOENT ? std::error_code() : last_error();
  for (std::string line; std::getline(file, line);) {
    ++lines_in_file_;
    if (!line.empty()) enter(line);
  }
  return lines_in_file_ > limit_ ? rewrite() : std::error_code();
}

std::error_code LineHistory::add(std::string line) {
  std::replace(line.begin(), line.end(), '\n', ' ');
  HistEvent last;
  const bool repeated = history(history_.get(), &last, H_FIRST) == 0 && line == last.str;
  if (line.empty() || line[0] == ' ' || repeated) return {};
  enter(line);
  if (path_.empty()) return {};
  // Other sessions append to the same file.
  const Descriptor file = open_private(path_, O_APPEND);
  if (!file) return last_error();
  if (const auto error = write_all(file.get(), line + "\n")) return error;
  return ++lines_in_file_ > 2 * limit_ ? rewrite() : std::error_code();
}

std::optional<std::string> LineHistory::find(std::string_view part, std::size_t skip) const {
  for (std::string& line : lines()) {
    if (line.find(part) != std::string::npos && skip-- == 0) return std::move(line);
  }
  return std::nullopt;
}

void LineHistory::enter(const std::string& line) {
  HistEvent event;
  history(history_.get(), &event, H_ENTER, line.c_str());
}

std::error_code LineHistory::rewrite() {
  std::string text;
  const std::vector<std::string> all = lines();
  for (auto line = all.rbegin(); line != all.rend(); ++line) text += *line + "\n";
  const std::string temporary = path_ + ".new";
  const Descriptor file = open_private(temporary, O_TRUNC);
  if (!file) return last_error();
  if (const auto error = write_all(file.get(), text)) return error;
  if (rename(temporary.c_str(), path_.c_str()) != 0) return last_error();
  lines_in_file_ = all.size();
  return {};
}

std::vector<std::string> LineHistory::lines() const {
  std::vector<std::string> all;
  HistEvent event;
  for (int found = history(history_.get(), &event, H_FIRST); found == 0;
       found = history(history_.get(), &event, H_NEXT)) {
    all.emplace_back(event.str);
  }
  return all;
}

}  // namespace snowfox
