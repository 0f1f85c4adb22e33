#include <snowfox/context/yaml_forms.h>

#include <algorithm>
#include <stdexcept>

#include "yaml_document.h"

namespace snowfox {

void read_yaml(const YamlValue& value, std::string& target) {
  if (const auto text = value.scalar("a text")) target = *text;
}

void read_yaml(const YamlValue& value, bool& target) {
  if (const auto read = value.boolean()) target = *read;
}

void read_yaml(const YamlValue& value, double& target) {
  if (const auto read = value.number(std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max())) {
    target = *read;
  }
}

// The address itself says what is wrong with it.
void read_yaml(const YamlValue& value, Address& target) {
  if (const auto text = value.scalar("an address such as unix:PATH or HOST:PORT")) target = Address::parse(*text);
}

void read_yaml(const YamlValue& value, LogLevel& target) {
  one_of<LogLevel>({{"debug", LogLevel::Debug},
                    {"info", LogLevel::Info},
                    {"warning", LogLevel::Warning},
                    {"error", LogLevel::Error},
                    {"critical", LogLevel::Critical},
                    {"off", LogLevel::Off}})(value, target);
}

void read_yaml(const YamlValue& value, LogFormat& target) {
  one_of<LogFormat>({{"text", LogFormat::Text}, {"json", LogFormat::Json}})(value, target);
}

void read_yaml(YamlMapping& mapping, LogSettings& target) {
  mapping.optional("level", target.level);
  mapping.optional("format", target.format);
}

void not_empty(const YamlValue& value, std::string& target) {
  const auto text = value.scalar("a text");
  if (!text) return;
  if (text->empty()) return value.expected("a text that is not empty");
  target = *text;
}

std::optional<std::size_t> read_yaml_name(const YamlValue& value, const std::vector<std::string_view>& names) {
  if (value.kind() == YamlValue::Kind::Scalar) {
    const auto found = std::find(names.begin(), names.end(), value.text());
    if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  }
  std::string all;
  for (std::size_t i = 0; i < names.size(); ++i) {
    all.append(i == 0 ? "" : i + 1 == names.size() ? " or " : ", ").append(names[i]);
  }
  value.expected(all);
  return std::nullopt;
}

}  // namespace snowfox
