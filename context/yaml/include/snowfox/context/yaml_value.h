#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <snowfox/context/configuration_place.h>
#include <snowfox/core/clock.h>

namespace snowfox {

class YamlMapping;
class YamlProblems;
struct YamlNode;

/// A value of a YAML document, on its way into the program's own types by one of the functions called read_yaml().
///
/// What is wrong with it is recorded, and reading goes on, so that all problems of a document are told together. It
/// borrows the value that it is part of: to be used during the call that it was given to, not kept.
class YamlValue {
 public:
  enum class Kind : std::uint8_t { Missing, Null, Scalar, List, Mapping };

  /// The root of a document.
  YamlValue(YamlProblems& problems, const YamlNode* node) noexcept : problems_(problems), node_(node) {}

  /// Missing: a key that is required and not there. Null: a key that is there and nothing, `null` or `~` with it.
  Kind kind() const noexcept;
  /// Of a scalar, as it stands there, without quotes. Empty for anything else.
  std::string_view text() const noexcept;
  /// A scalar that stands in quotes, or is a block: never a number, truth or null.
  bool quoted() const noexcept;
  ConfigurationPlace place() const;

  /// Of a list its elements, of a mapping its entries; otherwise 0.
  std::size_t size() const noexcept;
  YamlValue element(std::size_t index) const noexcept;
  /// The key of a mapping's entry.
  std::string_view key(std::size_t index) const noexcept;
  YamlValue entry(std::size_t index) const noexcept;

  // --- each records a problem, and gives nothing, if the value is something else ---

  /// `what` is what the problem says was expected.
  std::optional<std::string_view> scalar(std::string_view what) const;
  std::optional<bool> boolean() const;
  /// Any integer of up to 64 bits, signed or not.
  struct Integer {
    std::uint64_t magnitude = 0;
    bool negative = false;

    template <std::integral T>
    static constexpr Integer of(T value) noexcept {
      const bool below_zero = std::cmp_less(value, 0);
      return {below_zero ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value), below_zero};
    }
    /// Must fit.
    template <std::integral T>
    constexpr T as() const noexcept {
      return static_cast<T>(negative ? 0 - magnitude : magnitude);
    }
    friend constexpr bool operator<(const Integer& left, const Integer& right) noexcept {
      if (left.negative != right.negative) return left.negative;
      return left.negative ? right.magnitude < left.magnitude : left.magnitude < right.magnitude;
    }
    friend constexpr bool operator==(const Integer&, const Integer&) noexcept = default;
  };
  /// In decimal, 0x hexadecimal or 0o octal, at least `low` and at most `high`.
  std::optional<Integer> integer(Integer low, Integer high) const;
  std::optional<double> number(double low, double high) const;
  /// `30s`, `500ms`, `2m`, `1h`, `1d`, also `us` and `ns`; a number alone is in seconds. A multiple of `unit`.
  std::optional<Duration> duration(Duration low, Duration high, Duration unit) const;
  /// `4MiB` is 4 * 1024 * 1024, `256KB` is 256 * 1000, `1G` is 1024 * 1024 * 1024; a number alone is in bytes.
  std::optional<std::uint64_t> bytes(std::uint64_t low, std::uint64_t high) const;
  /// Octal, such as 0660; at most 0777.
  std::optional<unsigned> permissions() const;
  /// True for a list, and for nothing, which is an empty one.
  bool list() const;
  /// Calls `function` with a mapping, and for nothing with an empty one; then records the keys that it has not asked
  /// for.
  void mapping(const std::function<void(YamlMapping&)>& function) const;

  // --- what is wrong ---

  /// Records `expected WHAT, found …`.
  void expected(std::string_view what) const;
  /// Records `message`.
  void refuse(std::string_view message) const;

  /// Calls `form(*this, target)`; what that throws is recorded as a problem with this value. Whether all was right.
  template <typename T, typename Form>
  bool read(T& target, const Form& form) const {
    const std::size_t before = problem_count();
    try {
      form(*this, target);
    } catch (...) {
      refuse(std::current_exception());
    }
    return problem_count() == before;
  }

  /// The same value, of which no problem tells more than its kind; nor of what it consists of.
  YamlValue as_secret() const noexcept;

 private:
  friend class YamlMapping;

  YamlValue(const YamlValue& whole, const YamlNode* node, std::string_view key, std::size_t index) noexcept
      : problems_(whole.problems_), node_(node), whole_(&whole), key_(key), index_(index), secret_(whole.secret_) {}
  std::size_t problem_count() const noexcept;
  void refuse(const std::exception_ptr& error) const;
  std::string path() const;
  std::string found() const;

  YamlProblems& problems_;
  const YamlNode* node_;              // null: missing
  const YamlValue* whole_ = nullptr;  // what it is part of
  std::string_view key_;              // its key there; empty in a list
  std::size_t index_ = 0;             // its place there, if that is a list
  bool secret_ = false;
};

}  // namespace snowfox
