#pragma once

#include <string>
#include <string_view>
#include <system_error>

#include <snowfox/core/clock.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/error.h>

namespace snowfox {

/// What errors call the promise with this id: `promise 'client-7/42'`, or `promise` if it has none.
inline std::string promise_name(const CorrelationId& id) {
  return id.empty() ? std::string("promise") : "promise '" + id.str() + "'";
}

/// A length of time in the unit that suits it: `30 s`, `1.5 ms`.
std::string readable(Duration duration);

}  // namespace snowfox
