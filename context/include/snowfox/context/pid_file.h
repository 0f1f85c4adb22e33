#pragma once

#include <string>

#include <snowfox/core/io.h>

namespace snowfox {

/// A file that holds this process's id for as long as it lives, and keeps a second instance from starting.
///
/// It is the lock on the file that says an instance runs, not the number in it: a file left by one that crashed is
/// taken over. Others may read it (mode 0644). The lock is shared with children until they exec.
class PidFile {
 public:
  /// Throws std::system_error that names the path: and the pid of the instance that holds it (EEXIST), or that the file
  /// is something else, or why it cannot be written.
  explicit PidFile(std::string path);
  /// Removes the file; if it may not, empties it.
  ~PidFile();
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;

  const std::string& path() const noexcept { return path_; }

 private:
  bool open();

  std::string path_;
  Descriptor file_;
};

}  // namespace snowfox
