#pragma once

#include <string>
#include <utility>

namespace snowfox {

/// Why a request is not served: what its sender is told. A status of 0: it is.
struct Refusal {
  int status = 0;
  std::string reason;

  Refusal() = default;
  Refusal(int code, std::string why) : status(code), reason(std::move(why)) {}
  explicit operator bool() const noexcept { return status != 0; }
};

constexpr int kBusy = 503;

/// HttpOptions::max_pending_body_bytes.
inline Refusal too_much_pending() { return {kBusy, "more bodies are on their way than there is room for"}; }

}  // namespace snowfox
