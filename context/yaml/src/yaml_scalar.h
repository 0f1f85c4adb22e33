#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <snowfox/context/yaml_value.h>
#include <snowfox/core/clock.h>

namespace snowfox {

// What the text of a scalar means, if it is of that kind.

std::optional<bool> boolean_of(std::string_view text) noexcept;
/// Decimal, 0x, 0o; with a sign. Not with leading zeros, which some take for octal.
std::optional<YamlValue::Integer> integer_of(std::string_view text) noexcept;
/// Finite.
std::optional<double> number_of(std::string_view text) noexcept;
/// In seconds if without a unit; not negative.
std::optional<Duration> duration_of(std::string_view text) noexcept;
/// In bytes if without a unit.
std::optional<std::uint64_t> bytes_of(std::string_view text) noexcept;
/// Octal digits, with 0 or 0o before them or not.
std::optional<unsigned> octal_of(std::string_view text) noexcept;

/// As duration_of() and bytes_of() read them, with the largest unit that fits.
std::string duration_text(Duration duration);
std::string bytes_text(std::uint64_t bytes);

/// How many letters are to be added, removed, changed or swapped with the next one to make the one of the other.
std::size_t spelling_distance(std::string_view left, std::string_view right);

}  // namespace snowfox
