#include "client/call_runner.h"

#include <utility>

#include <fmt/format.h>

#include "client/call_meaning.h"
#include "client/message_text.h"

namespace snowfox::node {

CallRunner::CallRunner(NodeClient& client, Duration timeout, Output output)
    : client_(client), timeout_(timeout), output_(std::move(output)) {
  client_.set_on_event([this](const public_api::Event& event) { output_.answer(event_text(event, output_.json)); });
}

void CallRunner::watch_again() {
  for (const std::string& id : watched_) ask({.kind = Call::Kind::Watch, .details = false, .id = id});
}

void CallRunner::answered(const Call& call, const NodeClient::Message& answer) {
  if (call.kind == Call::Kind::Watch) watched_.insert(call.id);
  if (call.kind == Call::Kind::Unwatch) watched_.erase(call.id);
  output_.answer(answer_text(answer, call, output_.json));
}

void CallRunner::run(const Call& call) {
  if (request_of(call)) return ask(call);
  try {
    output_.answer(own_answer_text(call, output_.json));
  } catch (...) {
    fail(call, std::current_exception());
  }
}

void CallRunner::ask(const Call& call) {
  ++pending_;
  client_.ask(call)
      .then([this, call](const NodeClient::Message& answer) { answered(call, answer); })
      .otherwise([this, call](const std::exception_ptr& error) { fail(call, error); })
      .finally([this] { one_done(); })
      .detach();
}

void CallRunner::fail(const Call& call, const std::exception_ptr& error) {
  if (told_ > 0) {
    --told_;
    return;
  }
  ++failures_;
  output_.failure(fmt::format("{}: {}", call.str(), printable(tell(error, timeout_))));
}

void CallRunner::lost(const std::string& reason) {
  failures_ += pending_;
  told_ = pending_;
  output_.failure(pending_ == 0
                      ? fmt::format("the connection to the node is lost: {}", reason)
                      : fmt::format("the connection to the node is lost: {}; without an answer: {}", reason, pending_));
  if (watching()) ++failures_;
  look_if_idle();
}

void CallRunner::one_done() {
  --pending_;
  look_if_idle();
}

void CallRunner::look_if_idle() {
  if (pending_ != 0 || !when_idle_ || (to_the_end_ && watching() && client_.connected())) return;
  std::exchange(when_idle_, nullptr)();
}

void CallRunner::when_idle(std::function<void()> function, bool to_the_end) {
  when_idle_ = std::move(function);
  to_the_end_ = to_the_end;
  look_if_idle();
}

}  // namespace snowfox::node
