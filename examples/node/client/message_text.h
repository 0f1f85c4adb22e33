#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "client/paint.h"
#include "protocol/public_api.pb.h"

namespace snowfox::node {

/// `message` as a JSON object in one line, with all its fields by their names in the order of their numbers. Other than
/// in protobuf's own JSON all numbers are numbers.
std::string to_json(const google::protobuf::Message& message);

/// `text` as a JSON string, in quotes.
std::string json_string(std::string_view text);

/// What a node says of itself, for people, in lines.
std::string to_text(const public_api::NodeInfoResponse& info, const Paint& paint = {});

/// What the node told of the request `id`, or, if that is empty, of all that waits; in lines.
std::string to_text(const public_api::ExplainResponse& told, std::string_view id);

/// How services are, a line each; and what has changed with one.
std::string to_text(const public_api::ServiceListResponse& list, const Paint& paint = {});
std::string to_text(const public_api::Event& event, const Paint& paint = {});

/// `text` with control characters made visible: what comes from elsewhere must not command the terminal.
std::string printable(std::string_view text);

}  // namespace snowfox::node
