#include "common/message.h"

#include <google/protobuf/descriptor.h>

#include <fmt/format.h>

#include <system_error>

#include <snowfox/core/error.h>

namespace snowfox::node {

namespace {

ErrorCode code_for(std::error_code code) {
  if (code == Errc::DeadlineExceeded) return TIMED_OUT;
  if (code == Errc::DuplicateId) return WRONG_CORRELATION_ID;
  if (code == Errc::LimitReached || code == std::errc::not_connected) return UNAVAILABLE;
  return FAILED;
}

}  // namespace

std::string payload_name(const google::protobuf::Message& message, int number) {
  const auto* field = message.GetDescriptor()->FindFieldByNumber(number);
  return field == nullptr ? "nothing" : field->name();
}

Error make_error(ErrorCode code, std::string text) {
  Error error;
  error.set_code(code);
  error.set_text(std::move(text));
  return error;
}

Error not_a_request(const google::protobuf::Message& message, int code) {
  const auto* payload = message.GetDescriptor()->FindFieldByNumber(code);
  return make_error(UNKNOWN_CODE, fmt::format("code {} ({}) is not answered here", code,
                                              payload == nullptr ? "unknown" : payload->name()));
}

Error to_error(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const RemoteError& error) {
    return make_error(error.code(), error.what());
  } catch (const std::system_error& error) {
    return make_error(code_for(error.code()), error.what());
  } catch (...) {
    return make_error(FAILED, describe(thrown));
  }
}

std::optional<Error> find_fault(const google::protobuf::Message& message, int code, int payload) {
  if (code != 0 && code == payload) return std::nullopt;
  const auto* type = message.GetDescriptor();
  const auto* expected = type->FindFieldByNumber(code);
  if (expected == nullptr || expected->containing_oneof() == nullptr) {
    return make_error(UNKNOWN_CODE, fmt::format("code {} is unknown", code));
  }
  const auto* given = type->FindFieldByNumber(payload);
  return make_error(WRONG_PAYLOAD, fmt::format("code {} comes with the payload {}, not with {}", code, expected->name(),
                                               given == nullptr ? "none" : given->name()));
}

}  // namespace snowfox::node
