#pragma once

#include <string>

namespace snowfox {

/// Where something stands in a configuration. What is not known is empty or zero.
struct ConfigurationPlace {
  std::string file{};
  unsigned line = 0;    ///< counted from 1
  unsigned column = 0;  ///< counted from 1, in characters
  std::string key{};    ///< the way to the value: `services[2].command`

  /// `node.yml:3:7: services[2].command`, without what is not known.
  std::string str() const;
};

/// A value and where the configuration gives it, for errors that are found when the value is used.
template <typename T>
struct Located {
  T value{};
  ConfigurationPlace place{};

  const T& operator*() const noexcept { return value; }
  const T* operator->() const noexcept { return &value; }
};

}  // namespace snowfox
