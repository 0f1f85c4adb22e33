#include "yaml_problems.h"

#include <algorithm>
#include <iterator>
#include <tuple>

namespace snowfox {

std::uint32_t YamlProblems::add_file(std::string name) {
  files_.push_back(std::move(name));
  return static_cast<std::uint32_t>(files_.size() - 1);
}

ConfigurationPlace YamlProblems::place(const YamlMark& mark, std::string key) const {
  return {mark.file < files_.size() ? files_[mark.file] : std::string(), mark.line, mark.column, std::move(key)};
}

YamlMark YamlProblems::mark(const ConfigurationPlace& place) const noexcept {
  const auto file = std::find(files_.begin(), files_.end(), place.file);
  return {static_cast<std::uint32_t>(file - files_.begin()), place.line, place.column};
}

void YamlProblems::add(const YamlMark& mark, std::string key, std::string message) {
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  add(mark, {place(mark, std::move(key)), std::move(message)});
}

void YamlProblems::add(const YamlMark& mark, ConfigurationProblem problem) {
  if (full()) {
    ++omitted_;
  } else {
    found_.push_back({mark, std::move(problem)});
  }
}

void YamlProblems::check() const {
  if (found_.empty()) return;
  std::vector<Found> sorted = found_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Found& left, const Found& right) {
    return std::tie(left.mark.file, left.mark.line, left.mark.column) <
           std::tie(right.mark.file, right.mark.line, right.mark.column);
  });
  std::vector<ConfigurationProblem> problems;
  std::transform(sorted.begin(), sorted.end(), std::back_inserter(problems),
                 [](Found& found) { return std::move(found.problem); });
  throw ConfigurationError(std::move(problems), omitted_);
}

}  // namespace snowfox
