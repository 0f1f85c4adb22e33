#include <snowfox/core/clock.h>

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace snowfox {

std::string readable(Duration duration) {
  struct Unit {
    double nanoseconds;
    const char* name;
  };
  constexpr std::array<Unit, 4> kUnits{{{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}}};
  const auto nanoseconds = static_cast<double>(duration.count());
  for (const Unit& unit : kUnits) {
    if (std::abs(nanoseconds) >= unit.nanoseconds)
      return fmt::format("{:.4g} {}", nanoseconds / unit.nanoseconds, unit.name);
  }
  return "0 s";
}

}  // namespace snowfox
