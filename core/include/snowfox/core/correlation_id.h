#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace snowfox {

/// The text that all events of one chain share, from the first request to the last answer and in every log line.
///
/// A value: up to 39 bytes are held in the object, so copying, comparing and looking one up never allocate. Its hash is
/// kept with it where it will be looked up for sure: in what a generator made, and in what hashed() gives. A UUID (36),
/// a ULID (26), a W3C trace id (32) and `client-7/42` all fit.
class CorrelationId {
 public:
  static constexpr std::size_t kMaxBytes = 39;

  /// No id: `empty()` is true, the text is "".
  constexpr CorrelationId() = default;

  /// The id spelled `text`. Throws std::invalid_argument if it is empty or longer than kMaxBytes.
  explicit CorrelationId(std::string_view text);

  /// The id spelled `text`, or nothing if it is empty or longer than kMaxBytes: for text from outside.
  static std::optional<CorrelationId> parse(std::string_view text) noexcept {
    std::optional<CorrelationId> id(std::in_place);
    if (!id->set(text)) id.reset();
    return id;
  }
  /// Becomes the id spelled `text`. False, and it stays what it is, if that is empty or longer than kMaxBytes.
  bool set(std::string_view text) noexcept {
    if (text.size() - 1 >= kMaxBytes) return false;  // nor if it is empty
    assign(text);
    return true;
  }

  std::string_view text() const noexcept { return {text_.data(), size_}; }
  std::string str() const { return std::string(text()); }
  bool empty() const noexcept { return size_ == 0; }
  std::uint64_t hash() const noexcept { return hash_ != 0 ? hash_ : hash_of(text()); }
  /// The same id, with its hash kept: for whoever looks it up more than once.
  CorrelationId hashed() const noexcept {
    CorrelationId id = *this;
    id.hash_ = hash();
    return id;
  }

  friend bool operator==(const CorrelationId& left, const CorrelationId& right) noexcept {
    if (left.hash_ != right.hash_ && left.hash_ != 0 && right.hash_ != 0) return false;
    return left.text() == right.text();
  }
  friend std::strong_ordering operator<=>(const CorrelationId& left, const CorrelationId& right) noexcept {
    return left.text() <=> right.text();
  }

 private:
  friend class CorrelationIdGenerator;

  void assign(std::string_view text) noexcept {
    copy(text.data(), text.size(), text_.data());
    size_ = static_cast<std::uint8_t>(text.size());
    hash_ = 0;
  }
  /// Without a call: in pieces of fixed size, of which the last may lie over the one before.
  static void copy(const char* from, std::size_t bytes, char* to) noexcept {
    constexpr std::size_t kLong = 16;
    constexpr std::size_t kShort = 8;
    if (bytes >= kLong) {
      std::memcpy(to, from, kLong);
      if (bytes > 2 * kLong) std::memcpy(to + kLong, from + kLong, kLong);
      std::memcpy(to + bytes - kLong, from + bytes - kLong, kLong);
    } else if (bytes >= kShort) {
      std::memcpy(to, from, kShort);
      std::memcpy(to + bytes - kShort, from + bytes - kShort, kShort);
    } else {
      for (std::size_t i = 0; i < bytes; ++i) to[i] = from[i];
    }
  }
  /// Never 0.
  static std::uint64_t hash_of(std::string_view text) noexcept;

  std::uint64_t hash_ = 0;  // 0: not known yet
  std::uint8_t size_ = 0;
  std::array<char, kMaxBytes> text_{};
};

/// From now on ids hash the same in each run of the program: for a simulation that must repeat itself, before the first
/// id is made.
void fix_hash_secret(std::uint64_t secret) noexcept;

/// Makes ids that no other generator makes, without a system call for each.
///
/// Without a prefix an id is 32 hexadecimal digits, valid as a W3C trace id
/// (https://www.w3.org/TR/trace-context/#trace-id): 64 random bits drawn once, then a counter.
/// With a prefix it is `<prefix>/<n>`, n counting from 1.
class CorrelationIdGenerator {
 public:
  /// Draws its random bits from the system. Throws std::system_error if the system has none.
  CorrelationIdGenerator();
  /// Takes `seed` for the random bits: the same seed makes the same ids.
  explicit CorrelationIdGenerator(std::uint64_t seed) noexcept;
  /// `prefix` must be unique among those whose answers may meet; at most 18 bytes, so that any n fits.
  /// Throws std::invalid_argument if it is empty or longer.
  explicit CorrelationIdGenerator(std::string_view prefix);

  CorrelationId next() noexcept;

 private:
  CorrelationId front_;  // what every id begins with; its size is where the counter starts
  std::uint64_t count_ = 0;
  bool hexadecimal_ = true;
};

}  // namespace snowfox

template <>
struct std::hash<snowfox::CorrelationId> {
  std::size_t operator()(const snowfox::CorrelationId& id) const noexcept {
    return static_cast<std::size_t>(id.hash());
  }
};
