#include "client/call_runner.h"

#include <utility>

#include <fmt/format.h>

#include "client/call_meaning.h"
#include "client/message_text.h"

namespace snowfox::node {

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
      .then(
          [this, call](const NodeClient::Message& answer) { output_.answer(answer_text(answer, call, output_.json)); })
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
}

void CallRunner::one_done() {
  --pending_;
  if (pending_ == 0 && when_idle_) std::exchange(when_idle_, nullptr)();
}

void CallRunner::when_idle(std::function<void()> function) {
  when_idle_ = std::move(function);
  if (pending_ == 0) std::exchange(when_idle_, nullptr)();
}

}  // namespace snowfox::node
