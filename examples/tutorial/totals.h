#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tally {

/// What one datagram tells: add `value` to the total of `name`.
struct Count {
  std::string_view name;  ///< points into the text it was read from
  std::uint32_t value;
};

/// Says why something is not counted.
class BadCount : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads `NAME:VALUE`, with or without a newline at its end: NAME is 1 to 64 letters, digits, dots, dashes and
/// underscores, VALUE a number up to 4294967295. Throws BadCount if `text` is anything else.
Count parse_count(std::string_view text);

/// The totals of all names. 2^32 counts fit into one, whatever their values.
class Totals {
 public:
  /// The names come from outside, so there is an end to them.
  static constexpr std::size_t kMaxNames = 10'000;

  /// Throws BadCount if the name is new and there are kMaxNames already.
  void add(const Count& count);
  /// Nothing if nothing was counted under `name`.
  std::optional<std::uint64_t> of(std::string_view name) const;
  const std::map<std::string, std::uint64_t, std::less<>>& all() const noexcept { return totals_; }

 private:
  std::map<std::string, std::uint64_t, std::less<>> totals_;
};

}  // namespace tally
