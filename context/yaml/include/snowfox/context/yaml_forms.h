#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <snowfox/context/configuration_place.h>
#include <snowfox/context/static_scope.h>
#include <snowfox/context/yaml_mapping.h>
#include <snowfox/context/yaml_value.h>
#include <snowfox/core/address.h>
#include <snowfox/core/log.h>

namespace snowfox {

template <typename T>
concept YamlInteger = std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>;

// --- how types are read when nothing else is said ---

void read_yaml(const YamlValue& value, std::string& target);
void read_yaml(const YamlValue& value, bool& target);
void read_yaml(const YamlValue& value, double& target);
void read_yaml(const YamlValue& value, Address& target);
void read_yaml(const YamlValue& value, LogLevel& target);
void read_yaml(const YamlValue& value, LogFormat& target);
/// A mapping of `level` and `format`.
void read_yaml(YamlMapping& mapping, LogSettings& target);

/// `low` to `high`, both included: of integers, numbers or durations.
template <typename Bound>
struct YamlRange {
  Bound low;
  Bound high;

  template <YamlInteger T>
  void operator()(const YamlValue& value, T& target) const {
    using Integer = YamlValue::Integer;
    const auto read = value.integer(std::max(Integer::of(low), Integer::of(std::numeric_limits<T>::min())),
                                    std::min(Integer::of(high), Integer::of(std::numeric_limits<T>::max())));
    if (read) target = read->template as<T>();
  }
  void operator()(const YamlValue& value, double& target) const {
    if (const auto read = value.number(low, high)) target = *read;
  }
  template <typename Rep, typename Period>
  void operator()(const YamlValue& value, std::chrono::duration<Rep, Period>& target) const {
    using Target = std::chrono::duration<Rep, Period>;
    constexpr Duration kUnit =
        std::is_floating_point_v<Rep> ? Duration(1) : std::chrono::duration_cast<Duration>(Target(1));
    if (const auto read = value.duration(low, high, kUnit)) target = std::chrono::duration_cast<Target>(*read);
  }
};

template <YamlInteger T>
void read_yaml(const YamlValue& value, T& target) {
  YamlRange<T>{std::numeric_limits<T>::min(), std::numeric_limits<T>::max()}(value, target);
}
/// Zero or more.
template <typename Rep, typename Period>
void read_yaml(const YamlValue& value, std::chrono::duration<Rep, Period>& target) {
  using Target = std::chrono::duration<Rep, Period>;
  constexpr bool kWide = std::chrono::duration<double>(Target::max()) > std::chrono::duration<double>(Duration::max());
  constexpr Duration kHigh = kWide ? Duration::max() : std::chrono::duration_cast<Duration>(Target::max());
  YamlRange<Duration>{Duration::zero(), kHigh}(value, target);
}
/// Nothing for a value that is null: `url: null`.
template <typename T>
void read_yaml(const YamlValue& value, std::optional<T>& target) {
  if (value.kind() == YamlValue::Kind::Null) {
    target.reset();
    return;
  }
  T read{};
  if (value.read(read, ReadYaml())) target = std::move(read);
}
template <typename T>
void read_yaml(const YamlValue& value, Located<T>& target) {
  if (value.read(target.value, ReadYaml())) target.place = value.place();
}
template <typename T, typename Form>
void read_yaml(const YamlValue& value, std::vector<T>& target, const Form& form) {
  if (!value.list()) return;
  target.clear();
  for (std::size_t i = 0; i < value.size(); ++i) {
    T element{};
    if (value.element(i).read(element, form)) target.push_back(std::move(element));
  }
}
template <typename T>
void read_yaml(const YamlValue& value, std::vector<T>& target) {
  read_yaml(value, target, ReadYaml());
}
template <typename T, typename Form>
void read_yaml(const YamlValue& value, std::map<std::string, T>& target, const Form& form) {
  if (value.kind() != YamlValue::Kind::Mapping && value.kind() != YamlValue::Kind::Null)
    return value.expected("a mapping");
  target.clear();
  for (std::size_t i = 0; i < value.size(); ++i) {
    T entry{};
    if (value.entry(i).read(entry, form)) target.emplace(value.key(i), std::move(entry));
  }
}
template <typename T>
void read_yaml(const YamlValue& value, std::map<std::string, T>& target) {
  read_yaml(value, target, ReadYaml());
}

// --- other ways to read, for the third argument of YamlMapping::required() and optional() ---

/// An integer, number or duration within bounds: `between(1, 65535)`, `between(1s, 1h)`.
template <YamlInteger T>
YamlRange<T> between(T low, T high) {
  return {low, high};
}
inline YamlRange<double> between(double low, double high) { return {low, high}; }
template <typename R1, typename P1, typename R2, typename P2>
YamlRange<Duration> between(std::chrono::duration<R1, P1> low, std::chrono::duration<R2, P2> high) {
  return {low, high};
}

/// A size in bytes (see YamlValue::bytes), into an integer.
inline auto in_bytes(std::uint64_t low = 0, std::uint64_t high = std::numeric_limits<std::int64_t>::max()) {
  return [low, high]<YamlInteger T>(const YamlValue& value, T& target) {
    const std::uint64_t fits = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
    if (const auto read = value.bytes(low, high < fits ? high : fits)) target = static_cast<T>(*read);
  };
}

/// The mode of a file, in octal: 0660.
inline auto permissions() {
  return []<YamlInteger T>(const YamlValue& value, T& target) {
    if (const auto read = value.permissions()) target = static_cast<T>(*read);
  };
}

/// A text that is not empty.
void not_empty(const YamlValue& value, std::string& target);

/// Looks a scalar up among names; a problem lists them.
std::optional<std::size_t> read_yaml_name(const YamlValue& value, const std::vector<std::string_view>& names);

/// One of some names, each of which means a value: `one_of<Restart>({{"never", Restart::Never}, …})`.
template <typename T>
auto one_of(std::initializer_list<std::pair<std::string_view, T>> meanings) {
  return [meanings = std::vector(meanings)](const YamlValue& value, T& target) {
    std::vector<std::string_view> names;
    for (const auto& meaning : meanings) names.push_back(meaning.first);
    if (const auto index = read_yaml_name(value, names)) target = meanings[*index].second;
  };
}

/// A list whose elements, or a mapping of names whose values, are read by `form`: `each(in_bytes())`.
template <typename Form>
auto each(Form form) {
  return [form = std::move(form)](const YamlValue& value, auto& target) { read_yaml(value, target, form); };
}

/// As `form` reads, with where it stands, for a Located<T>.
template <typename Form>
auto located(Form form) {
  return [form = std::move(form)]<typename T>(const YamlValue& value, Located<T>& target) {
    if (value.read(target.value, form)) target.place = value.place();
  };
}

/// As `form` reads; but no problem shows what was found.
template <typename Form = ReadYaml>
auto secret(Form form = {}) {
  return [form = std::move(form)](const YamlValue& value, auto& target) { value.as_secret().read(target, form); };
}

}  // namespace snowfox
