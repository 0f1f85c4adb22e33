#pragma once

#include <optional>
#include <string>

#include "client/call.h"
#include "protocol/public_api.pb.h"

// What the calls mean. Each of these has a case for each Call::Kind, and what is missing does not compile.

namespace snowfox::node {

/// What `call` asks of the node, but for the correlation id; nothing if the client does it by itself.
std::optional<public_api::Message> request_of(const Call& call);

/// Whether `answer` may be the one to that request.
bool fits(const public_api::Message& answer, const Call& call);

/// An answer that fits `call`, for people or as one JSON object; with a newline at its end.
std::string answer_text(const public_api::Message& answer, const Call& call, bool json);

/// The same of what the node tells unasked.
std::string event_text(const public_api::Event& event, bool json);

/// The same of a call that the client answers by itself; empty if there is nothing to say.
std::string own_answer_text(const Call& call, bool json);

}  // namespace snowfox::node
