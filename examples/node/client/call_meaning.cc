#include "client/call_meaning.h"

#include <fmt/format.h>

#include "client/message_text.h"
#include "common/build_version.h"
#include "common/message.h"

namespace snowfox::node {
namespace {

using public_api::Message;

std::string help_json() {
  std::string json;
  for (const CallForm& form : call_forms()) {
    json += fmt::format(R"({}{{"call":{},"does":{}}})", json.empty() ? "" : ",", json_string(form.written),
                        json_string(form.help));
  }
  return "{\"help\":[" + json + "]}\n";
}

}  // namespace

std::optional<Message> request_of(const Call& call) {
  switch (call.kind) {
    case Call::Kind::Status: {
      auto request = make_message<Message>(Message::kNodeInfoRequest, {});
      request.mutable_node_info_request()->set_details(call.details);
      return request;
    }
    case Call::Kind::Reload: {
      auto request = make_message<Message>(Message::kReload, {});
      request.mutable_reload();
      return request;
    }
    case Call::Kind::Waits:
    case Call::Kind::Trace: {
      auto request = make_message<Message>(Message::kExplainRequest, {});
      request.mutable_explain_request()->set_id(call.id);
      return request;
    }
    case Call::Kind::List: {
      auto request = make_message<Message>(Message::kServiceListRequest, {});
      request.mutable_service_list_request()->set_id(call.id);
      return request;
    }
    case Call::Kind::Start: {
      auto request = make_message<Message>(Message::kServiceStart, {});
      request.mutable_service_start()->set_id(call.id);
      return request;
    }
    case Call::Kind::Stop: {
      auto request = make_message<Message>(Message::kServiceStop, {});
      request.mutable_service_stop()->set_id(call.id);
      return request;
    }
    case Call::Kind::Restart: {
      auto request = make_message<Message>(Message::kServiceRestart, {});
      request.mutable_service_restart()->set_id(call.id);
      return request;
    }
    case Call::Kind::Watch: {
      auto request = make_message<Message>(Message::kServiceWatch, {});
      request.mutable_service_watch()->set_id(call.id);
      return request;
    }
    case Call::Kind::Unwatch: {
      auto request = make_message<Message>(Message::kServiceUnwatch, {});
      request.mutable_service_unwatch()->set_id(call.id);
      return request;
    }
    case Call::Kind::Version:
    case Call::Kind::Help:
    case Call::Kind::Exit: break;
  }
  return std::nullopt;
}

bool fits(const Message& answer, const Call& call) {
  switch (call.kind) {
    case Call::Kind::Status:
      return answer.has_node_info_response() && answer.node_info_response().has_details() == call.details;
    case Call::Kind::Reload: return answer.has_ack();
    case Call::Kind::Waits:
    case Call::Kind::Trace: return answer.has_explain_response();
    case Call::Kind::List:
    case Call::Kind::Start:
    case Call::Kind::Stop:
    case Call::Kind::Restart:
    case Call::Kind::Watch: return answer.has_service_list_response();
    case Call::Kind::Unwatch: return answer.has_ack();
    case Call::Kind::Version:
    case Call::Kind::Help:
    case Call::Kind::Exit: break;
  }
  return false;
}

std::string answer_text(const Message& answer, const Call& call, bool json) {
  switch (call.kind) {
    case Call::Kind::Status:
      return json ? to_json(answer.node_info_response()) + "\n" : to_text(answer.node_info_response());
    case Call::Kind::Reload: return json ? "{\"reloaded\":true}\n" : "the configuration was reloaded\n";
    case Call::Kind::Waits:
    case Call::Kind::Trace:
      return json ? to_json(answer.explain_response()) + "\n" : to_text(answer.explain_response(), call.id);
    case Call::Kind::List:
    case Call::Kind::Start:
    case Call::Kind::Stop:
    case Call::Kind::Restart:
    case Call::Kind::Watch:
      return json ? to_json(answer.service_list_response()) + "\n" : to_text(answer.service_list_response());
    case Call::Kind::Unwatch: return json ? "{\"unwatched\":true}\n" : "";
    case Call::Kind::Version:
    case Call::Kind::Help:
    case Call::Kind::Exit: break;
  }
  return {};
}

std::string own_answer_text(const Call& call, bool json) {
  switch (call.kind) {
    case Call::Kind::Version: return (json ? to_json(build_version()) : to_text(build_version())) + "\n";
    case Call::Kind::Help: return json ? help_json() : call_help();
    case Call::Kind::Status:
    case Call::Kind::Reload:
    case Call::Kind::Waits:
    case Call::Kind::Trace:
    case Call::Kind::List:
    case Call::Kind::Start:
    case Call::Kind::Stop:
    case Call::Kind::Restart:
    case Call::Kind::Watch:
    case Call::Kind::Unwatch:
    case Call::Kind::Exit: break;
  }
  return {};
}

std::string event_text(const public_api::Event& event, bool json) {
  return json ? "{\"event\":" + to_json(event) + "}\n" : to_text(event);
}

}  // namespace snowfox::node
