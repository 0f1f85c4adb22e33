#include "client/call_runner.h"

#include <utility>

#include <fmt/format.h>

#include "client/message_text.h"
#include "common/build_version.h"

namespace snowfox::node {

void CallRunner::run(const Call& call) {
  switch (call.kind) {
    case Call::Kind::Status:
      follow(call, client_.status(call.details), [this](const public_api::NodeInfoResponse& info) {
        return output_.json ? to_json(info) + "\n" : to_text(info);
      });
      return;
    case Call::Kind::Reload:
      follow(call, client_.reload(), [this] {
        return std::string(output_.json ? "{\"reloaded\":true}\n" : "the configuration was reloaded\n");
      });
      return;
    case Call::Kind::Version:
      output_.answer(output_.json ? to_json(build_version()) + "\n" : to_text(build_version()) + "\n");
      return;
    case Call::Kind::Help: output_.answer(call_help()); return;
    case Call::Kind::Exit: return;
  }
}

template <typename T, typename Show>
void CallRunner::follow(const Call& call, Promise<T> promise, Show show) {
  ++pending_;
  std::move(promise)
      .then([this, show](const auto&... value) { output_.answer(show(value...)); })
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
