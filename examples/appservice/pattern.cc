#include "appservice/pattern.h"

#include <array>
#include <atomic>
#include <new>
#include <utility>
#include <vector>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <fmt/format.h>

namespace snowfox::appservice {
namespace {

struct Free {
  void operator()(pcre2_code* code) const noexcept { pcre2_code_free(code); }
  void operator()(pcre2_compile_context* context) const noexcept { pcre2_compile_context_free(context); }
  void operator()(pcre2_match_context* context) const noexcept { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* data) const noexcept { pcre2_match_data_free(data); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

template <typename T>
Owned<T> made(T* thing) {
  if (thing == nullptr) throw std::bad_alloc();
  return Owned<T>(thing);
}

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_hex(char c) noexcept { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// What Python reads, in PCRE2's spelling; and of each byte where it comes from, for errors.
class Translation {
 public:
  explicit Translation(std::string_view text) : text_(text) {
    while (at_ < text_.size()) {
      if (text_[at_] == '\\') {
        escape();
      } else if (in_class_) {
        character_of_class();
      } else {
        character();
      }
    }
  }

  const std::string& pattern() const noexcept { return pattern_; }
  std::size_t origin(std::size_t offset) const noexcept {
    return offset < origins_.size() ? origins_[offset] : text_.size();
  }

 private:
  char next(std::size_t ahead) const noexcept { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  /// Puts `replacement` in the place of the next `length` bytes.
  void put(std::string_view replacement, std::size_t length) {
    pattern_ += replacement;
    origins_.insert(origins_.end(), replacement.size(), at_);
    at_ += length;
  }
  void keep(std::size_t length) {
    for (; length != 0 && at_ < text_.size(); --length) put(text_.substr(at_, 1), 1);
  }

  void character() {
    const char c = text_[at_];
    if (c == '[') {
      in_class_ = true;
      keep(1);
      if (next(0) == '^') keep(1);
      if (next(0) == ']') put("\\]", 1);  // first in a class it ends none
    } else if (c == '{' && next(1) == ',' && is_bound()) {
      put("{0", 1);
    } else {
      keep(1);
    }
  }
  /// Whether `{,` begins a repetition: `{,3}`, `{,}`.
  bool is_bound() const noexcept {
    std::size_t ahead = 2;
    while (is_digit(next(ahead))) ++ahead;
    return next(ahead) == '}';
  }
  void character_of_class() {
    const char c = text_[at_];
    if (c == ']') in_class_ = false;
    if (c == '[') return put("\\[", 1);  // [:alpha:] has no meaning of its own
    keep(1);
  }
  void escape() {
    const char c = next(1);
    if (c == 'x') return code_point(2);
    if (c == 'u') return code_point(4);
    if (c == 'U') return code_point(8);
    if (c == 'v') return put("\\x0b", 2);
    if (c == 'Z' && !in_class_) return put("\\z", 2);
    constexpr std::string_view kKnown = "AbBdDsSwWafnrt";
    if (is_letter(c) && kKnown.find(c) == std::string_view::npos) {
      throw PatternError(fmt::format("unknown escape \\{}", c), at_);
    }
    keep(2);
  }
  void code_point(std::size_t digits) {
    for (std::size_t i = 0; i < digits; ++i) {
      if (!is_hex(next(2 + i))) throw PatternError(fmt::format("expected {} hexadecimal digits", digits), at_);
    }
    put(fmt::format("\\x{{{}}}", text_.substr(at_ + 2, digits)), 2 + digits);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  std::string pattern_;
  std::vector<std::size_t> origins_;
};

/// Whether there is a choice outside of all groups, so that what comes first need not be there. Says so when in doubt.
bool has_outer_choice(std::string_view text) noexcept {
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      ++i;
    } else if (c == '[') {
      // What a class holds is hard to tell from what ends it: any choice behind may be an outer one.
      return text.find('|', i) != std::string_view::npos;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')') {
      --depth;
    } else if (c == '|' && depth <= 0) {
      return true;
    }
  }
  return false;
}

std::string prefix_of(std::string_view text) {
  // Comments and white space that are to be left out; and flags that change what came before do not exist.
  if (has_outer_choice(text) || text.find("(?x") != std::string_view::npos) return {};
  std::string prefix;
  std::size_t at = text.starts_with('^') ? 1 : 0;
  while (at < text.size()) {
    char c = text[at];
    std::size_t length = 1;
    if (c == '\\') {
      if (at + 1 == text.size()) break;
      c = text[at + 1];
      length = 2;
      if (is_letter(c) || is_digit(c)) break;
    } else if (std::string_view("^$.[]|()*+?{}").find(c) != std::string_view::npos) {
      break;
    }
    if (static_cast<unsigned char>(c) >= 0x80) break;
    const char after = at + length < text.size() ? text[at + length] : '\0';
    if (after == '*' || after == '?' || after == '{') break;  // it may not be there
    prefix += c;
    at += length;
  }
  return prefix;
}

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

struct Pattern::Compiled {
  Owned<pcre2_code> code;
  Owned<pcre2_match_context> limits;
  std::atomic<std::uint64_t> gave_up{0};
  std::atomic<bool> reported{false};
};

Pattern::Pattern(std::string text, const PatternLimits& limits)
    : text_(std::move(text)), input_bytes_(limits.input_bytes), compiled_(std::make_unique<Compiled>()) {
  if (text_.size() > limits.pattern_bytes) {
    throw PatternError(fmt::format("longer than {} bytes", limits.pattern_bytes), limits.pattern_bytes);
  }
  const Translation translation(text_);
  const auto context = made(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::string& pattern = translation.pattern();
  compiled_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                      PCRE2_ANCHORED | PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                                      context.get()));
  if (compiled_->code == nullptr) throw PatternError(message_of(error), translation.origin(offset));
  // Where it cannot be compiled to machine code it is interpreted.
  pcre2_jit_compile(compiled_->code.get(), PCRE2_JIT_COMPLETE);
  compiled_->limits = made(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(compiled_->limits.get(), limits.steps);
  pcre2_set_depth_limit(compiled_->limits.get(), limits.depth);
  pcre2_set_heap_limit(compiled_->limits.get(), limits.heap_kib);
  prefix_ = prefix_of(text_);
}

Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Match Pattern::match(std::string_view text) const {
  const auto give_up = [this] {
    compiled_->gave_up.fetch_add(1, std::memory_order_relaxed);
    return Match::GaveUp;
  };
  if (text.size() > input_bytes_) return give_up();
  // Where matches are noted: of each thread, for all patterns.
  thread_local const auto kNotes = made(pcre2_match_data_create(1, nullptr));
  const auto run = [&](std::uint32_t options) {
    return pcre2_match(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, options,
                       kNotes.get(), compiled_->limits.get());
  };
  int result = run(0);
  // The machine code has little room to remember in; the interpreter has what the limits say.
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_JIT);
  if (result >= 0) return Match::Yes;
  const bool not_text = result <= PCRE2_ERROR_UTF8_ERR1 && result >= PCRE2_ERROR_UTF8_ERR21;
  return result == PCRE2_ERROR_NOMATCH || not_text ? Match::No : give_up();
}

std::uint64_t Pattern::gave_up() const noexcept { return compiled_->gave_up.load(std::memory_order_relaxed); }

bool Pattern::take_report() const noexcept { return gave_up() != 0 && !compiled_->reported.exchange(true); }

}  // namespace snowfox::appservice
