#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/context/yaml_value.h>

namespace snowfox {

class YamlMapping;

/// A type with `void read_yaml(YamlMapping&, T&)` in its own namespace: one that is read from a mapping.
template <typename T>
concept ReadFromYamlMapping = requires(YamlMapping& mapping, T& target) {
  read_yaml(mapping, target);
};

/// How a T is read when nothing else is said: by read_yaml() of its own namespace, or one of yaml_forms.h.
struct ReadYaml {
  template <typename T>
  void operator()(const YamlValue& value, T& target) const {
    if constexpr (ReadFromYamlMapping<T>) {
      value.mapping([&](YamlMapping& mapping) { read_yaml(mapping, target); });
    } else {
      read_yaml(value, target);
    }
  }
};

/// A mapping whose keys the program asks for, one after another, by their names and into its own variables:
///
///     void read_yaml(YamlMapping& yaml, Service& service) {
///       yaml.required("id", service.id);
///       yaml.optional("restart", service.restart, one_of<Restart>({{"never", Never}, {"always", Always}}));
///       yaml.optional("stop_timeout", service.stop_timeout, between(1s, 1h));
///     }
///
/// Each key is to be asked for in every case, for one that is not is unknown. A third argument says how to read: see
/// yaml_forms.h, or anything that can be called with a `const YamlValue&` and the variable. What cannot be read leaves
/// the variable alone, or partly filled if it is a list or mapping.
class YamlMapping {
 public:
  YamlMapping(const YamlMapping&) = delete;
  YamlMapping& operator=(const YamlMapping&) = delete;

  /// A key that must be there. Whether it is, and all was right. `key` must be a literal, or outlive the mapping.
  template <typename T, typename Form = ReadYaml>
  bool required(std::string_view key, T& target, const Form& form = {}) {
    return find(key).read(target, form);
  }
  /// A key that may be missing: then `target` stays as it is. Whether it is there, and all was right.
  template <typename T, typename Form = ReadYaml>
  bool optional(std::string_view key, T& target, const Form& form = {}) {
    const YamlValue value = find(key);
    return value.kind() != YamlValue::Kind::Missing && value.read(target, form);
  }
  /// Calls `read` with the YamlMapping under a key that may be missing: for one that is no type of its own.
  template <std::invocable<YamlMapping&> F>
  bool section(std::string_view key, F&& read) {
    return optional(key, read, [](const YamlValue& value, F& function) { value.mapping(std::ref(function)); });
  }
  /// Whether the key is there.
  bool has(std::string_view key) { return find(key).kind() != YamlValue::Kind::Missing; }
  /// Records a problem with what `key` gives; with the mapping if it is not there.
  void refuse(std::string_view key, std::string_view message) { find(key).refuse(message); }
  /// Records a problem with what was read at `place`, as a Located tells.
  void refuse(const ConfigurationPlace& place, std::string_view message);
  /// The mapping itself.
  const YamlValue& value() const noexcept { return value_; }

 private:
  friend class YamlValue;
  explicit YamlMapping(const YamlValue& value) : value_(value), asked_(value.size(), false) {}
  YamlValue find(std::string_view key);
  void refuse_unknown_keys() const;

  const YamlValue& value_;
  std::vector<bool> asked_;              // of each entry
  std::vector<std::string_view> known_;  // what was asked for
};

}  // namespace snowfox
