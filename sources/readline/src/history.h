#pragma once

#include <histedit.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace snowfox {

/// Lines entered before, the last `limit` of them, and the file that keeps them.
class LineHistory {
 public:
  /// `path` may be empty: no file.
  LineHistory(std::string path, std::size_t limit);

  /// Reads the file. A file that is not there is no error.
  std::error_code load();
  /// Adds a line here and to the file, unless it is empty, begins with a space or equals the one before.
  std::error_code add(std::string line);
  /// The line that contains `part`, the last one after passing over `skip` others that do.
  std::optional<std::string> find(std::string_view part, std::size_t skip) const;

  History* libedit() const noexcept { return history_.get(); }

 private:
  struct End {
    void operator()(History* history) const noexcept { history_end(history); }
  };

  void enter(const std::string& line);
  std::error_code rewrite();
  /// From the last to the first.
  std::vector<std::string> lines() const;

  std::unique_ptr<History, End> history_;
  std::string path_;
  std::size_t limit_;
  std::size_t lines_in_file_ = 0;
};

}  // namespace snowfox
