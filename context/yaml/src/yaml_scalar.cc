#include "yaml_scalar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <system_error>
#include <utility>
#include <vector>

namespace snowfox {
namespace {

template <typename T>
std::optional<T> all_of(std::string_view text, int base) noexcept {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Unit {
  std::string_view name;
  std::uint64_t size;
};

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::array<Unit, 7> kTimes{{{"d", 86'400 * kSecond},
                                      {"h", 3'600 * kSecond},
                                      {"m", 60 * kSecond},
                                      {"s", kSecond},
                                      {"ms", 1'000'000},
                                      {"us", 1'000},
                                      {"ns", 1}}};
// The first of each size is the one that is written.
constexpr std::array<Unit, 19> kSizes{{{"TiB", 1ULL << 40},
                                       {"GiB", 1ULL << 30},
                                       {"MiB", 1ULL << 20},
                                       {"KiB", 1ULL << 10},
                                       {"B", 1},
                                       {"T", 1ULL << 40},
                                       {"G", 1ULL << 30},
                                       {"M", 1ULL << 20},
                                       {"K", 1ULL << 10},
                                       {"k", 1ULL << 10},
                                       {"t", 1ULL << 40},
                                       {"g", 1ULL << 30},
                                       {"m", 1ULL << 20},
                                       {"TB", 1'000'000'000'000},
                                       {"GB", 1'000'000'000},
                                       {"MB", 1'000'000},
                                       {"KB", 1'000},
                                       {"kB", 1'000},
                                       {"", 1}}};

/// Splits `30s` into `30` and the unit called `s`; null if there is no such unit.
template <std::size_t N>
const Unit* split(std::string_view& text, const std::array<Unit, N>& units) noexcept {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  std::string_view name = text.substr(digits);
  text = text.substr(0, digits);
  if (name.starts_with(' ')) name.remove_prefix(1);
  const auto found = std::find_if(units.begin(), units.end(), [&](const Unit& unit) { return unit.name == name; });
  return found == units.end() ? nullptr : &*found;
}

/// `text`, a decimal number, times `size`, if that is whole and no more than `most`.
std::optional<std::uint64_t> multiply(std::string_view text, std::uint64_t size, std::uint64_t most) noexcept {
  const std::size_t point = text.find('.');
  const auto whole = all_of<std::uint64_t>(text.substr(0, point), 10);
  if (!whole || *whole > most / size) return std::nullopt;
  const std::uint64_t product = *whole * size;
  if (point == std::string_view::npos) return product;
  // Exactly, or not at all: 1.5KiB is 1536, 1.0001KiB is no number of bytes.
  const std::string_view decimals = text.substr(point + 1);
  const auto numerator = all_of<std::uint64_t>(decimals, 10);
  if (!numerator || decimals.size() > 18) return std::nullopt;
  std::uint64_t denominator = 1;
  for (std::size_t i = 0; i < decimals.size(); ++i) denominator *= 10;
  const std::uint64_t common = std::gcd(size, denominator);
  if (*numerator % (denominator / common) != 0) return std::nullopt;
  const std::uint64_t part = size / common * (*numerator / (denominator / common));
  if (part > most - product) return std::nullopt;
  return product + part;
}

template <std::size_t N>
std::string text_of(std::uint64_t value, const std::array<Unit, N>& units, std::string_view zero) {
  if (value == 0) return std::string(zero);
  for (const Unit& unit : units) {
    if (value % unit.size == 0) return fmt::format("{}{}", value / unit.size, unit.name);
  }
  return std::to_string(value);
}

}  // namespace

std::optional<bool> boolean_of(std::string_view text) noexcept {
  for (const std::string_view yes : {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

std::optional<YamlValue::Integer> integer_of(std::string_view text) noexcept {
  YamlValue::Integer integer;
  if (text.starts_with('-') || text.starts_with('+')) {
    integer.negative = text.front() == '-';
    text.remove_prefix(1);
  }
  int base = 10;
  if (text.starts_with("0x")) base = 16;
  if (text.starts_with("0o")) base = 8;
  if (base != 10) text.remove_prefix(2);
  if (base == 10 && text.size() > 1 && text.front() == '0') return std::nullopt;
  const auto magnitude = all_of<std::uint64_t>(text, base);
  if (!magnitude) return std::nullopt;
  integer.magnitude = *magnitude;
  if (integer.magnitude == 0) integer.negative = false;
  return integer;
}

std::optional<double> number_of(std::string_view text) noexcept {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

std::optional<Duration> duration_of(std::string_view text) noexcept {
  std::string_view digits = text;
  const Unit* unit = split(digits, kTimes);
  const bool plain = digits.size() == text.size();
  if (unit == nullptr && !plain) return std::nullopt;
  const auto most = static_cast<std::uint64_t>(Duration::max().count());
  const auto nanoseconds = multiply(digits, unit == nullptr ? kSecond : unit->size, most);
  if (!nanoseconds) return std::nullopt;
  return Duration(static_cast<std::int64_t>(*nanoseconds));
}

std::optional<std::uint64_t> bytes_of(std::string_view text) noexcept {
  const Unit* unit = split(text, kSizes);
  if (unit == nullptr) return std::nullopt;
  return multiply(text, unit->size, std::numeric_limits<std::uint64_t>::max());
}

std::optional<unsigned> octal_of(std::string_view text) noexcept {
  if (text.starts_with("0o")) text.remove_prefix(2);
  return all_of<unsigned>(text, 8);
}

std::string duration_text(Duration duration) {
  return text_of(static_cast<std::uint64_t>(duration.count()), kTimes, "0s");
}

std::string bytes_text(std::uint64_t bytes) { return text_of(bytes, kSizes, "0"); }

std::size_t spelling_distance(std::string_view left, std::string_view right) {
  // Optimal string alignment: three rows of the matrix are enough.
  std::vector<std::size_t> before(right.size() + 1);
  std::vector<std::size_t> last(right.size() + 1);
  std::vector<std::size_t> row(right.size() + 1);
  for (std::size_t j = 0; j <= right.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= left.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t changed = last[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, changed});
      if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before.swap(last);
    last.swap(row);
  }
  return last[right.size()];
}

}  // namespace snowfox
