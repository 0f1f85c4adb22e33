#include <snowfox/context/configuration_error.h>

#include <cassert>
#include <utility>

namespace snowfox {
namespace {

/// Keeps those that are told, and adds the others to `omitted`.
std::vector<ConfigurationProblem> cut(std::vector<ConfigurationProblem> problems, std::size_t& omitted) {
  assert(!problems.empty());
  if (problems.size() > ConfigurationError::kMaxProblems) {
    omitted += problems.size() - ConfigurationError::kMaxProblems;
    problems.resize(ConfigurationError::kMaxProblems);
  }
  return problems;
}

std::string lines(const std::vector<ConfigurationProblem>& problems, std::size_t omitted) {
  std::string text;
  for (const ConfigurationProblem& problem : problems) text.append(text.empty() ? "" : "\n").append(problem.str());
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
    : std::runtime_error(lines(problems = cut(std::move(problems), omitted), omitted)),
      problems_(std::make_shared<const std::vector<ConfigurationProblem>>(std::move(problems))),
      omitted_(omitted) {}

}  // namespace snowfox
