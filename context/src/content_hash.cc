#include <snowfox/context/content_hash.h>

#include <fmt/format.h>

namespace snowfox {
namespace {

// http://www.isthe.com/chongo/tech/comp/fnv/
constexpr std::uint64_t kPrime = 0x100000001b3;

std::uint64_t with(std::uint64_t hash, unsigned char byte) { return (hash ^ byte) * kPrime; }

}  // namespace

ContentHash& ContentHash::add(std::string_view part) noexcept {
  for (const char byte : part) hash_ = with(hash_, static_cast<unsigned char>(byte));
  for (std::size_t size = part.size(), i = 0; i < sizeof size; ++i, size >>= 8) {
    hash_ = with(hash_, static_cast<unsigned char>(size));
  }
  return *this;
}

std::string ContentHash::str() const { return fmt::format("{:016x}", hash_); }

}  // namespace snowfox
