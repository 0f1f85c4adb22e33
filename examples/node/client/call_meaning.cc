#include "client/call_meaning.h"

#include "client/message_text.h"
#include "client/trace_text.h"
#include "common/message.h"

namespace snowfox::node {

using public_api::Message;

Message request_of(const Call& call) {
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
    case Call::Kind::Shutdown: {
      auto request = make_message<Message>(Message::kShutdown, {});
      request.mutable_shutdown();
      return request;
    }
    case Call::Kind::Waits: {
      auto request = make_message<Message>(Message::kExplainRequest, {});
      request.mutable_explain_request()->set_id(call.id);
      return request;
    }
    case Call::Kind::Trace: {
      auto request = make_message<Message>(Message::kTraceRequest, {});
      request.mutable_trace_request()->set_id(call.id);
      return request;
    }
    case Call::Kind::List:
    case Call::Kind::Service: {
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
  }
  return {};
}

bool fits(const Message& answer, const Call& call) {
  switch (call.kind) {
    case Call::Kind::Status:
      return answer.has_node_info_response() && answer.node_info_response().has_details() == call.details;
    case Call::Kind::Waits: return answer.has_explain_response();
    case Call::Kind::Trace: return answer.has_trace_response();
    case Call::Kind::Service:
    case Call::Kind::Start:
    case Call::Kind::Stop:
    case Call::Kind::Restart: return answer.service_list_response().services_size() == 1;
    case Call::Kind::List:
    case Call::Kind::Watch: return answer.has_service_list_response();
    case Call::Kind::Reload:
    case Call::Kind::Shutdown:
    case Call::Kind::Unwatch: return answer.has_ack();
  }
  return false;
}

AnswerValue value_of(const Message& answer, const Call& call) {
  switch (call.kind) {
    case Call::Kind::Status: return {{&answer.node_info_response()}};
    case Call::Kind::Waits: return {{&answer.explain_response()}};
    case Call::Kind::Trace: return {{&answer.trace_response()}};
    case Call::Kind::Service:
    case Call::Kind::Start:
    case Call::Kind::Stop:
    case Call::Kind::Restart: return {{&answer.service_list_response().services(0)}};
    case Call::Kind::List:
    case Call::Kind::Watch: {
      AnswerValue value{{}, true};
      for (const auto& service : answer.service_list_response().services()) value.parts.push_back(&service);
      return value;
    }
    case Call::Kind::Reload:
    case Call::Kind::Shutdown:
    case Call::Kind::Unwatch: break;
  }
  return {};
}

std::string answer_text(const Message& answer, const Call& call, const Paint& paint) {
  switch (call.kind) {
    case Call::Kind::Status: return to_text(answer.node_info_response(), paint);
    case Call::Kind::Reload: return "the configuration was reloaded\n";
    case Call::Kind::Shutdown: return "the node ends\n";
    case Call::Kind::Waits: return to_text(answer.explain_response(), call.id);
    case Call::Kind::Trace: return trace_text(answer.trace_response(), call.id);
    case Call::Kind::List:
    case Call::Kind::Service:
    case Call::Kind::Start:
    case Call::Kind::Stop:
    case Call::Kind::Restart:
    case Call::Kind::Watch: return to_text(answer.service_list_response(), paint);
    case Call::Kind::Unwatch: break;
  }
  return {};
}

std::string answer_json(const Message& answer, const Call& call) {
  const AnswerValue value = value_of(answer, call);
  std::string json;
  for (const google::protobuf::Message* part : value.parts) json += (json.empty() ? "" : ",") + to_json(*part);
  if (value.list) return "[" + json + "]";
  return json.empty() ? "true" : json;
}

std::string event_text(const public_api::Event& event, const Paint& paint) { return to_text(event, paint); }
std::string event_json(const public_api::Event& event) { return "{\"event\":" + to_json(event) + "}"; }

}  // namespace snowfox::node
