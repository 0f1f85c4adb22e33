#pragma once

#include <string>
#include <string_view>

#include "protocol/public_api.pb.h"

namespace snowfox::node {

/// What became of the request `id`, as a line for each step with its time, or, if that is empty, the latest requests;
/// with a newline at its end.
std::string trace_text(const public_api::Trace& trace, std::string_view id);

}  // namespace snowfox::node
