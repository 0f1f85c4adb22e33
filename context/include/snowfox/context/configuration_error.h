#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <snowfox/context/configuration_place.h>

namespace snowfox {

/// One thing that is wrong with a configuration.
struct ConfigurationProblem {
  ConfigurationPlace place;
  std::string message;

  /// One line: `node.yml:3:7: services[2].command: expected a string, found a list`.
  std::string str() const;
};

/// A configuration cannot be used. Tells all that was found wrong with it, not only the first.
class ConfigurationError : public std::runtime_error {
 public:
  /// So many problems are told, the rest is counted.
  static constexpr std::size_t kMaxProblems = 20;

  explicit ConfigurationError(ConfigurationProblem problem);
  /// `problems`, which must not be empty, in the order in which they are to be told. `omitted`: so many more there
  /// were.
  explicit ConfigurationError(std::vector<ConfigurationProblem> problems, std::size_t omitted = 0);

  /// In the order of the files and lines. what() has each of them on a line of its own.
  const std::vector<ConfigurationProblem>& problems() const noexcept { return *problems_; }
  /// So many more were found.
  std::size_t omitted() const noexcept { return omitted_; }

 private:
  // An exception must be copied without throwing.
  std::shared_ptr<const std::vector<ConfigurationProblem>> problems_;
  std::size_t omitted_ = 0;
};

}  // namespace snowfox
