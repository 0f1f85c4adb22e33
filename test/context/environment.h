#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace snowfox {

/// Sets an environment variable until the end of the test.
class EnvironmentVariable {
 public:
  EnvironmentVariable(std::string name, const std::string& value) : name_(std::move(name)) {
    ::setenv(name_.c_str(), value.c_str(), 1);
  }
  ~EnvironmentVariable() { ::unsetenv(name_.c_str()); }
  EnvironmentVariable(const EnvironmentVariable&) = delete;
  EnvironmentVariable& operator=(const EnvironmentVariable&) = delete;

 private:
  std::string name_;
};

inline bool is_set(const char* name) { return std::getenv(name) != nullptr; }

}  // namespace snowfox
