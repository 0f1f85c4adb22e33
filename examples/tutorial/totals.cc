#include "totals.h"

#include <charconv>
#include <system_error>

namespace tally {
namespace {

constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
constexpr std::size_t kMaxNameBytes = 64;

}  // namespace

Count parse_count(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) throw BadCount("expected NAME:VALUE");
  Count count{text.substr(0, colon), 0};
  if (count.name.empty() || count.name.size() > kMaxNameBytes) throw BadCount("a name has 1 to 64 characters");
  if (count.name.find_first_not_of(kNameCharacters) != std::string_view::npos) {
    throw BadCount("a name has letters, digits, dots, dashes and underscores only");
  }
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, count.value);
  if (error != std::errc() || rest != end) throw BadCount("expected a number up to 4294967295 after the colon");
  return count;
}

void Totals::add(const Count& count) {
  const auto found = totals_.find(count.name);
  if (found != totals_.end()) {
    found->second += count.value;
  } else if (totals_.size() < kMaxNames) {
    totals_.emplace(count.name, count.value);
  } else {
    throw BadCount("there are 10000 names already");
  }
}

std::optional<std::uint64_t> Totals::of(std::string_view name) const {
  const auto found = totals_.find(name);
  if (found == totals_.end()) return std::nullopt;
  return found->second;
}

}  // namespace tally
