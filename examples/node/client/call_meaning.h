#pragma once

#include <string>
#include <vector>

#include "client/call.h"
#include "client/paint.h"
#include "protocol/public_api.pb.h"

// What the calls mean. Each of these has a case for each Call::Kind, and what is missing does not compile.

namespace snowfox::node {

/// What `call` asks of the node, but for the correlation id.
public_api::Message request_of(const Call& call);

/// Whether `answer` may be the one to that request.
bool fits(const public_api::Message& answer, const Call& call);

/// What an answer is worth to a script: one thing or a list of them; if neither, only that it was done.
struct AnswerValue {
  std::vector<const google::protobuf::Message*> parts;  ///< of the answer
  bool list = false;
};
/// The value of an answer that fits `call`, which must outlive it.
AnswerValue value_of(const public_api::Message& answer, const Call& call);

/// An answer that fits `call`, for people; with a newline at its end, or empty.
std::string answer_text(const public_api::Message& answer, const Call& call, const Paint& paint = {});
/// The same as JSON, in one line.
std::string answer_json(const public_api::Message& answer, const Call& call);

/// What the node tells unasked, in these two ways.
std::string event_text(const public_api::Event& event, const Paint& paint = {});
std::string event_json(const public_api::Event& event);

}  // namespace snowfox::node
