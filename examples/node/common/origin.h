#pragma once

#include <cstdint>

#include <snowfox/core/correlation_id.h>

namespace snowfox::node {

// One process of a node asks another because a client has asked it. What it asks has an id of its own, so that each
// answer finds its question; but that begins with the id of the client's request, the origin: `client-1/7~3`. So
// whoever looks for `client-1/7` finds all that came of it, in each process.

/// Longer ids cannot be followed by a `~` and a number: clients are not to use them.
inline constexpr std::size_t kMaxOriginBytes = 32;

/// The id of what is asked because of `origin`, the `number`th of them; empty if `origin` is empty or too long.
CorrelationId follow_up(const CorrelationId& origin, std::uint32_t number) noexcept;

/// The origin of what is asked under `id`: that itself, if it follows none.
CorrelationId origin_of(const CorrelationId& id) noexcept;

/// Whether it is a client's request, or follows an origin; and none of those that a process of the node has begun
/// itself.
bool is_of_a_request(const CorrelationId& id) noexcept;

/// Whether `id` is `origin`, or follows it.
bool is_about(const CorrelationId& id, const CorrelationId& origin) noexcept;

}  // namespace snowfox::node
