#include "common/service_id.h"

#include <algorithm>

namespace snowfox::node {

bool is_service_id(std::string_view id) noexcept {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_@+";
  return !id.empty() && id.size() <= kMaxServiceIdBytes && id.front() != '.' &&
         std::all_of(id.begin(), id.end(), [&](char c) { return kAllowed.find(c) != std::string_view::npos; });
}

}  // namespace snowfox::node
