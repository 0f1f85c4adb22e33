#include <snowfox/core/correlation_id.h>

#include <sys/random.h>

#include <cerrno>
#include <charconv>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "random_seed.h"

namespace snowfox {
namespace {

constexpr std::size_t kHexadecimalFront = 16;
constexpr std::size_t kMaxDecimal = 20;  // digits of 2^64 - 1

void write_hexadecimal(std::uint64_t value, char* to) noexcept {
  for (int digit = 15; digit >= 0; --digit) {
    to[digit] = "0123456789abcdef"[value & 15];
    value >>= 4;
  }
}

/// The product of both, its halves folded together: every bit of the result hangs on every bit of each.
std::uint64_t mix(std::uint64_t left, std::uint64_t right) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(left) * right;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

template <typename Word>
std::uint64_t load(const char* from) noexcept {
  Word word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

/// Up to sixteen bytes as two words, which differ where texts of one length do: in pieces of fixed size, of which the
/// last may lie over the one before.
std::pair<std::uint64_t, std::uint64_t> load_short(const char* from, std::size_t bytes) noexcept {
  const char* const end = from + bytes;
  if (bytes >= 8) return {load<std::uint64_t>(from), load<std::uint64_t>(end - 8)};
  if (bytes >= 4) return {load<std::uint32_t>(from), load<std::uint32_t>(end - 4)};
  std::uint64_t word = 0;
  for (; from != end; ++from) word = word << 8 | static_cast<unsigned char>(*from);
  return {word, 0};
}

}  // namespace

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) {
    throw std::system_error(errno, std::system_category(), "draw random bits");
  }
  return seed;
}

namespace {

std::uint64_t& hash_secret() noexcept {
  static std::uint64_t secret = random_seed() | 1;
  return secret;
}

}  // namespace

CorrelationId::CorrelationId(std::string_view text) {
  if (text.empty()) throw std::invalid_argument("a correlation id must not be empty");
  if (text.size() > kMaxBytes) {
    throw std::invalid_argument("a correlation id has at most 39 bytes, not " + std::to_string(text.size()));
  }
  assign(text);
}

void fix_hash_secret(std::uint64_t secret) noexcept { hash_secret() = secret | 1; }

// Ids come from outside and are keys of hash tables: the secret keeps others from making them collide. The construction
// is that of wyhash (Wang Yi, https://github.com/wangyi-fudan/wyhash): multiply, fold, repeat.
std::uint64_t CorrelationId::hash_of(std::string_view text) noexcept {
  const std::uint64_t secret = hash_secret();
  constexpr std::uint64_t kOdd = 0xa0761d6478bd642f;
  std::uint64_t hash = secret ^ (text.size() * kOdd);
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left > 16; at += 16, left -= 16) {
    hash = mix(load<std::uint64_t>(at) ^ secret, load<std::uint64_t>(at + 8) ^ hash);
  }
  const auto [first, second] = load_short(at, left);
  hash = mix(mix(first ^ secret, second ^ hash), hash ^ kOdd);
  return hash != 0 ? hash : kOdd;
}

CorrelationIdGenerator::CorrelationIdGenerator() : CorrelationIdGenerator(random_seed()) {}

CorrelationIdGenerator::CorrelationIdGenerator(std::uint64_t seed) noexcept {
  // All zeros is no trace id; the counter starts at 1 and keeps clear of that.
  write_hexadecimal(seed, front_.text_.data());
  front_.size_ = kHexadecimalFront;
}

CorrelationIdGenerator::CorrelationIdGenerator(std::string_view prefix) : hexadecimal_(false) {
  if (prefix.empty() || prefix.size() + 1 + kMaxDecimal > CorrelationId::kMaxBytes) {
    throw std::invalid_argument("the prefix of correlation ids has 1 to 18 bytes, not " +
                                std::to_string(prefix.size()));
  }
  std::memcpy(front_.text_.data(), prefix.data(), prefix.size());
  front_.text_[prefix.size()] = '/';
  front_.size_ = static_cast<std::uint8_t>(prefix.size() + 1);
}

CorrelationId CorrelationIdGenerator::next() noexcept {
  CorrelationId id = front_;
  ++count_;
  char* counter = id.text_.data() + id.size_;
  if (hexadecimal_) {
    write_hexadecimal(count_, counter);
    id.size_ = 2 * kHexadecimalFront;
  } else {
    char* end = std::to_chars(counter, id.text_.data() + CorrelationId::kMaxBytes, count_).ptr;
    id.size_ = static_cast<std::uint8_t>(end - id.text_.data());
  }
  id.hash_ = CorrelationId::hash_of(id.text());
  return id;
}

}  // namespace snowfox
