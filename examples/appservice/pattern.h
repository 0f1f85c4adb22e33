#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace snowfox::appservice {

/// How much a pattern may cost, whatever it and its input are.
struct PatternLimits {
  std::uint32_t steps = 100'000;   ///< of backtracking, as PCRE2 counts them
  std::uint32_t depth = 10'000;    ///< of backtracking points remembered at once
  std::uint32_t heap_kib = 1024;   ///< for remembering them
  std::size_t input_bytes = 4096;  ///< a longer text is not even tried
  std::size_t pattern_bytes = 16U << 10;
};

/// A text is no regular expression, or none that is supported.
class PatternError : public std::runtime_error {
 public:
  PatternError(const std::string& what, std::size_t offset) : std::runtime_error(what), offset_(offset) {}
  /// Where in the text it was noticed, in bytes from 0.
  std::size_t offset() const noexcept { return offset_; }

 private:
  std::size_t offset_;
};

enum class Match : std::uint8_t {
  No,
  Yes,
  GaveUp,  ///< a limit was hit: counts as No, and should be told
};

/// A regular expression with the meaning that Python's `re.match` gives it: anchored at the beginning only, in code
/// points, with lookahead. It is matched by PCRE2 within limits; where Python spells something differently it is
/// translated (`\Z`, `\v`, `\uXXXX`, `{,n}`, `[` in a class), and what Python refuses as an escape is refused. `\N{…}`
/// is not supported.
///
/// It does not change but for its counters, so match() may be called from any thread.
class Pattern {
 public:
  /// Throws PatternError, which says what is wrong and where.
  explicit Pattern(std::string text, const PatternLimits& limits = {});
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  /// A text that is not UTF-8 does not match.
  Match match(std::string_view text) const;

  const std::string& text() const noexcept { return text_; }
  /// Every text that matches begins with this; it may be empty. ASCII.
  const std::string& literal_prefix() const noexcept { return prefix_; }
  /// How many texts were given up.
  std::uint64_t gave_up() const noexcept;
  /// True once, when a text has been given up: whoever gets it tells people.
  bool take_report() const noexcept;

 private:
  struct Compiled;

  std::string text_;
  std::string prefix_;
  std::size_t input_bytes_;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace snowfox::appservice
