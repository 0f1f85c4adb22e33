#pragma once

#include <string>
#include <string_view>

#include "protocol/public_api.pb.h"

// What became of a request: how it is asked for and shown.

namespace snowfox::node {

/// Asks for the way of the request `id`, or, if that is empty, for the latest requests; without a correlation id.
public_api::Message trace_request(std::string_view id);
/// Whether `answer` may be the one to that.
bool is_trace(const public_api::Message& answer);

/// The answer, for people or as one JSON object; with a newline at its end.
std::string trace_text(const public_api::Trace& trace, std::string_view id, bool json);

}  // namespace snowfox::node
