#include <snowfox/context/configuration_place.h>

namespace snowfox {

std::string ConfigurationPlace::str() const {
  std::string text = file;
  if (line != 0) {
    text.append(":").append(std::to_string(line));
    if (column != 0) text.append(":").append(std::to_string(column));
  }
  if (!key.empty()) text.append(text.empty() ? "" : ": ").append(key);
  return text;
}

}  // namespace snowfox
