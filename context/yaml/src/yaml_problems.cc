#include "yaml_problems.h"

#include <algorithm>
#include <iterator>
#include <tuple>

namespace snowfox {

std::size_t control_character_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  if (byte(0) < 0x20 || byte(0) == 0x7f) return 1;
  return text.size() > 1 && byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) < 0xa0 ? 2 : 0;
}

bool holds_control_character(std::string_view text) noexcept {
  for (; !text.empty(); text.remove_prefix(1)) {
    if (control_character_length(text) != 0) return true;
  }
  return false;
}

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
  for (std::size_t i = 0; i < message.size(); ++i) {
    const std::size_t length = control_character_length(std::string_view(message).substr(i));
    message.replace(i, length, length, ' ');
  }
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
