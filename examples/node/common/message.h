#pragma once

#include <google/protobuf/message.h>

#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <snowfox/core/correlation_id.h>

#include "protocol/common.pb.h"

namespace snowfox::node {

/// The other side answered a request with an Error.
class RemoteError : public std::runtime_error {
 public:
  explicit RemoteError(const Error& error) : std::runtime_error(error.text()), code_(error.code()) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// What is wrong with a message of this code and payload (0: none); nothing if they belong together. The payload of
/// code N is the field number N of the message.
std::optional<Error> find_fault(const google::protobuf::Message& message, int code, int payload);
template <typename Message>
std::optional<Error> find_fault(const Message& message) {
  return find_fault(message, message.code(), message.payload_case());
}

/// What the payload that is the field `number` of `message` is called; "nothing" if there is none.
std::string payload_name(const google::protobuf::Message& message, int number);

Error make_error(ErrorCode code, std::string text);
/// `message` is sound, but nothing that this side answers.
Error not_a_request(const google::protobuf::Message& message, int code);
template <typename Message>
Error not_a_request(const Message& message) {
  return not_a_request(message, message.code());
}
/// What to tell who asked, about whatever was thrown while it was worked on.
Error to_error(const std::exception_ptr& thrown);

/// A message without its payload. `payload` names it: Message::kReady.
template <typename Message>
Message make_message(typename Message::PayloadCase payload, const CorrelationId& id) {
  Message message;
  message.set_code(static_cast<decltype(message.code())>(static_cast<int>(payload)));
  message.set_correlation_id(id.str());
  return message;
}
template <typename Message>
Message make_ack(const CorrelationId& id) {
  auto message = make_message<Message>(Message::kAck, id);
  message.mutable_ack();
  return message;
}
template <typename Message>
Message make_refusal(const CorrelationId& id, Error error) {
  auto message = make_message<Message>(Message::kError, id);
  *message.mutable_error() = std::move(error);
  return message;
}

}  // namespace snowfox::node
