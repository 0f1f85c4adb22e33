#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/context/yaml_value.h>

#include "yaml_problems.h"

namespace snowfox {

/// What stands at one place of a document. Where an alias stands, it is what the alias stands for.
struct YamlNode {
  struct Entry {
    const YamlNode* key = nullptr;  // null in a list
    const YamlNode* value = nullptr;
  };

  YamlValue::Kind kind = YamlValue::Kind::Null;
  bool quoted = false;
  bool complete = true;      // false while what it consists of is still being read
  std::uint8_t height = 0;   // so many lists and mappings are inside each other at most, this one included
  std::uint32_t weight = 1;  // of so many values it consists, each counted as often as it is referred to
  YamlMark mark{};
  std::string text{};
  std::vector<Entry> entries{};
};

/// All that was read, from one file or several.
struct YamlDocument {
  std::deque<YamlNode> nodes;
  const YamlNode* root = nullptr;  // null if there is nothing in it
};

/// Limits of what a document may consist of.
inline constexpr std::size_t kMaxYamlDepth = 64;
inline constexpr std::size_t kMaxYamlValues = 500'000;

/// Adds what `text` consists of to `document`, as its root; it is the file with the number `file`. What is wrong with
/// it goes to `problems`; false if that is so much that nothing of it can be used.
bool parse_yaml(std::string_view text, std::uint32_t file, YamlDocument& document, YamlProblems& problems);

/// The way to something inside a mapping or list: `services[2].command`. A key that is more than a word is quoted.
void append_yaml_key(std::string& path, std::string_view key);
void append_yaml_index(std::string& path, std::size_t index);
/// `text` in quotes: on one line, and no longer than a line may be.
std::string quote_yaml(std::string_view text);

}  // namespace snowfox
