#pragma once

#include <string>

#include <snowfox/core/correlation_id.h>

namespace snowfox {

/// What errors call the promise with this id: `promise 'client-7/42'`, or `promise` if it has none.
inline std::string promise_name(const CorrelationId& id) {
  return id.empty() ? std::string("promise") : "promise '" + id.str() + "'";
}

}  // namespace snowfox
