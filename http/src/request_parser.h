#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <snowfox/core/correlation_id.h>

#include "refusal.h"

namespace snowfox {

class HttpRequest;
struct HttpOptions;

/// What a request's head says about how to go on.
struct RequestFacts {
  enum class Coding : std::uint8_t { None, Gzip, Deflate, Unknown };

  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;
  Coding coding = Coding::None;
  CorrelationId correlation_id;  ///< empty if it has none

  bool has_body() const noexcept { return chunked || content_length.value_or(0) != 0; }
};

/// Reads `head`, which HeadScan has found to be a whole one and `request` has borrowed: by Boost.Beast's parser, and
/// with checks that it leaves to others or that we want to be stricter.
Refusal read_request_head(std::string_view head, HttpRequest& request, const HttpOptions& options, RequestFacts& facts);

}  // namespace snowfox
