#include <snowfox/context/configuration_error.h>

#include <cassert>
#include <utility>

namespace snowfox {
namespace {

std::size_t beyond_limit(std::size_t count) {
  return count > ConfigurationError::kMaxProblems ? count - ConfigurationError::kMaxProblems : 0;
}

std::string lines(const std::vector<ConfigurationProblem>& problems, std::size_t omitted) {
  std::string text;
  for (std::size_t i = 0; i < problems.size() && i < ConfigurationError::kMaxProblems; ++i) {
    text.append(i == 0 ? "" : "\n").append(problems[i].str());
  }
  omitted += beyond_limit(problems.size());
  if (omitted != 0) text.append("\nand ").append(std::to_string(omitted)).append(" more");
  return text;
}

}  // namespace

std::string ConfigurationProblem::str() const {
  std::string text = place.str();
  return text.append(text.empty() ? "" : ": ").append(message);
}

ConfigurationError::ConfigurationError(ConfigurationProblem problem)
    : ConfigurationError(std::vector<ConfigurationProblem>{std::move(problem)}) {}

ConfigurationError::ConfigurationError(std::vector<ConfigurationProblem> problems, std::size_t omitted)
    : std::runtime_error(lines(problems, omitted)), omitted_(omitted + beyond_limit(problems.size())) {
  assert(!problems.empty());
  problems.resize(problems.size() - beyond_limit(problems.size()));
  problems_ = std::make_shared<const std::vector<ConfigurationProblem>>(std::move(problems));
}

}  // namespace snowfox
