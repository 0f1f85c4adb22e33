#pragma once

#include <chrono>
#include <string>

namespace snowfox {

/// What is known of a configuration as a whole.
struct ConfigurationMetadata {
  std::string version{};  ///< a hash of all that it was read from: the same version is the same configuration
  std::string name{};     ///< what people call it, such as the path of its file
  std::chrono::system_clock::time_point loaded_at{};  ///< set by the scope that is made of it
};

/// A configuration of the program's own type, read and found valid.
template <typename Configuration>
struct LoadedConfiguration {
  Configuration configuration;
  ConfigurationMetadata metadata;
};

}  // namespace snowfox
