#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <snowfox/promises/promise_keeper.h>

namespace snowfox {

/// Writes `id` into a message that has set_correlation_id(const char*, size) or set_correlation_id(text), as those of
/// protobuf have. For others, declare a function of this name beside the message's class.
template <typename Message>
requires requires(Message& message, const CorrelationId& id) {
  message.set_correlation_id(id.text().data(), id.text().size());
}
void set_correlation_id(Message& message, const CorrelationId& id) {
  message.set_correlation_id(id.text().data(), id.text().size());
}
template <typename Message>
requires(
    !requires(Message & message, const CorrelationId& id) {
      message.set_correlation_id(id.text().data(), id.text().size());
    } &&
    requires(Message & message, std::string text) {
      message.set_correlation_id(std::move(text));
    }) void set_correlation_id(Message& message, const CorrelationId& id) {
  message.set_correlation_id(id.str());
}

/// Whether it is in there already, as in a message that is passed on.
template <typename Message>
bool has_correlation_id(const Message& message, const CorrelationId& id) noexcept {
  if constexpr (requires { std::string_view(message.correlation_id()); }) {
    return std::string_view(message.correlation_id()) == id.text();
  } else {
    return false;
  }
}

/// Nothing in it has a destructor, so it may be made inside a co_await expression (see Task).
struct RequestOptions {
  /// How long to wait for the answer; zero: the keeper's default.
  Duration deadline = Duration::zero();
  /// The chain that the request belongs to, if it is not to begin a new one.
  CorrelationId id = {};
};
static_assert(std::is_trivially_destructible_v<RequestOptions>);

/// Sends `message` on `drain` and gives the promise of its answer: what `keeper` is given under the message's
/// correlation id. The id is written into the message, and, if it has set_timeout_ms(), so is the time there is for the
/// answer, so that the other side need not begin what nobody waits for any more. `drain` is whatever has
/// enqueue(message). Throws what PromiseKeeper::keep and enqueue() throw; nothing is kept then.
///
/// A message that no id can be written into, such as an EnvelopeView that is passed on, must be asked for with the id
/// that it has; if not, std::invalid_argument is thrown.
template <typename Answer, typename Drain, typename Message>
Promise<Answer> request(PromiseKeeper& keeper, Drain& drain, Message&& message, const RequestOptions& options = {}) {
  const CorrelationId id = options.id.empty() ? keeper.loop().ids().next() : options.id.hashed();
  const Duration deadline = options.deadline == Duration::zero() ? keeper.options().default_deadline : options.deadline;
  if (!has_correlation_id(message, id)) {
    if constexpr (requires { set_correlation_id(message, id); }) {
      set_correlation_id(message, id);
    } else {
      throw std::invalid_argument("the message has another correlation id than its request");
    }
  }
  Promise<Answer> answer = keeper.keep<Answer>(id, deadline);
  if constexpr (requires { message.set_timeout_ms(std::uint32_t{}); }) {
    if (deadline != kNoDeadline) {
      constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
      const std::int64_t milliseconds = std::chrono::ceil<std::chrono::milliseconds>(deadline).count();
      message.set_timeout_ms(static_cast<std::uint32_t>(std::clamp<std::int64_t>(milliseconds, 1, kMost)));
    }
  }
  drain.enqueue(std::as_const(message));
  return answer;
}

}  // namespace snowfox
