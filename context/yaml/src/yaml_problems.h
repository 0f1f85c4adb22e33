#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/context/configuration_error.h>

namespace snowfox {

/// How many bytes the control character has that `text`, which is not empty, begins with: 1 if it is one of ASCII, 2 if
/// it is one of those beyond, U+0080 to U+009F; 0 if it is something else. What is told has none of them: a terminal
/// would do what they say.
std::size_t control_character_length(std::string_view text) noexcept;
bool holds_control_character(std::string_view text) noexcept;

/// Where something stands, as the parser tells it: by the number of the file, line and column from 1.
struct YamlMark {
  std::uint32_t file = 0;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

/// What is wrong with a document, or several that are read as one.
class YamlProblems {
 public:
  explicit YamlProblems(bool ignore_unknown_keys) : ignore_unknown_keys_(ignore_unknown_keys) {}

  /// The number of a file, by which marks name it.
  std::uint32_t add_file(std::string name);
  const std::vector<std::string>& files() const noexcept { return files_; }
  bool ignore_unknown_keys() const noexcept { return ignore_unknown_keys_; }

  ConfigurationPlace place(const YamlMark& mark, std::string key) const;
  YamlMark mark(const ConfigurationPlace& place) const noexcept;
  /// `message` may have come from outside: it is put on one line.
  void add(const YamlMark& mark, std::string key, std::string message);
  /// One that another reader has found, in a file that `mark` refers to.
  void add(const YamlMark& mark, ConfigurationProblem problem);
  void omit(std::size_t count) noexcept { omitted_ += count; }
  /// Further ones are only counted: no use to find out about them.
  bool full() const noexcept { return found_.size() >= kMaxRecorded; }

  /// All that were found, recorded or not.
  std::size_t size() const noexcept { return found_.size() + omitted_; }
  /// Throws those that there are, by file and line.
  void check() const;

 private:
  /// Many more than are told, so that those that are told are likely the first ones.
  static constexpr std::size_t kMaxRecorded = 1000;

  struct Found {
    YamlMark mark;
    ConfigurationProblem problem;
  };
  bool ignore_unknown_keys_;
  std::vector<std::string> files_;
  std::vector<Found> found_;
  std::size_t omitted_ = 0;
};

}  // namespace snowfox
