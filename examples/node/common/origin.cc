#include "common/origin.h"

#include <array>
#include <charconv>
#include <string_view>

namespace snowfox::node {
namespace {

constexpr char kFollows = '~';
constexpr int kBase = 36;
/// What fits into the bytes that an origin leaves: six digits.
constexpr std::uint32_t kNumbers = 36U * 36 * 36 * 36 * 36 * 36;

}  // namespace

CorrelationId follow_up(const CorrelationId& origin, std::uint32_t number) noexcept {
  CorrelationId id;
  if (origin.empty() || origin.text().size() > kMaxOriginBytes) return id;
  std::array<char, CorrelationId::kMaxBytes> text;
  char* at = text.data() + origin.text().copy(text.data(), kMaxOriginBytes);
  *at++ = kFollows;
  const auto end = std::to_chars(at, text.data() + text.size(), number % kNumbers, kBase).ptr;
  id.set({text.data(), static_cast<std::size_t>(end - text.data())});
  return id;
}

CorrelationId origin_of(const CorrelationId& id) noexcept {
  CorrelationId origin;
  const std::string_view text = id.text();
  origin.set(text.substr(0, text.rfind(kFollows)));
  return origin;
}

bool is_of_a_request(const CorrelationId& id) noexcept {
  return id.text().find_first_of(std::string_view("/~")) != std::string_view::npos;
}

bool is_about(const CorrelationId& id, const CorrelationId& origin) noexcept {
  const std::string_view text = id.text();
  if (!text.starts_with(origin.text())) return false;
  return text.size() == origin.text().size() || text[origin.text().size()] == kFollows;
}

}  // namespace snowfox::node
