#include "common/duration.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace snowfox::node {
namespace {

struct Unit {
  std::string_view name;
  std::chrono::milliseconds length;
};
constexpr std::array kUnits{Unit{"h", std::chrono::hours(1)}, Unit{"m", std::chrono::minutes(1)},
                            Unit{"s", std::chrono::seconds(1)}, Unit{"ms", std::chrono::milliseconds(1)}};
/// More is a mistake, and must not overflow.
constexpr std::chrono::hours kLongest{24 * 365};

}  // namespace

Duration parse_duration(std::string_view text) {
  std::uint64_t count = 0;  // takes no sign, not even that of -0
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  for (const auto& [name, length] : kUnits) {
    if (error != std::errc() || name != unit) continue;
    if (std::cmp_greater(count, kLongest / length)) break;
    return static_cast<std::int64_t>(count) * length;
  }
  throw std::invalid_argument("'" + std::string(text) +
                              "' is no duration: expected a number and ms, s, m or h, as in 10s");
}

std::string to_text(Duration duration) {
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(duration);
  for (const auto& [name, length] : kUnits) {
    if (milliseconds.count() != 0 && milliseconds % length == std::chrono::milliseconds::zero()) {
      return std::to_string(milliseconds / length).append(name);
    }
  }
  return std::to_string(milliseconds.count()) + "ms";
}

}  // namespace snowfox::node
