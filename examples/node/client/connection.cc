#include "client/connection.h"

#include <chrono>
#include <exception>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/promises/sleep.h>

#include "client/response.h"

namespace snowfox::node {
namespace {

constexpr Duration kFirstWait = std::chrono::milliseconds(100);
constexpr Duration kLongestWait = std::chrono::seconds(10);

}  // namespace

Connection::Connection(LoopManager& loop, NodeClient& client, std::function<void()> on_connected)
    : loop_(loop),
      client_(client),
      on_connected_(std::move(on_connected)),
      backoff_(kFirstWait, kLongestWait, Duration::max()) {}

Promise<NodeClient::Message> Connection::ask(const Call& call) {
  if (client_.connected()) return client_.ask(call);
  return connect().then([this, call] { return client_.ask(call); });
}

Promise<void> Connection::connect() {
  if (client_.connected()) return resolved(loop_);
  auto [promise, resolver] = make_promise<void>(loop_);
  waiting_.push_back(std::move(resolver));
  if (!connecting_) attempt();
  return std::move(promise);
}

void Connection::attempt() {
  connecting_ = true;
  ++attempts_;
  client_.connect()
      .then([this] {
        connecting_ = false;
        backoff_.reset();
        on_connected_();
        settle([](Resolver<void>& each) { each.resolve(); });
      })
      .otherwise([this](const std::exception_ptr& error) {
        connecting_ = false;
        const GeneralFailure failure({"UNREACHABLE", describe(error), {}});
        settle([&failure](Resolver<void>& each) { each.reject(failure); });
        if (kept_) attempt_later();
      })
      .detach();
}

template <typename Settle>
void Connection::settle(const Settle& how) {
  for (Resolver<void>& each : std::exchange(waiting_, {})) how(each);
}

void Connection::attempt_later() {
  // Whoever asks meanwhile attempts it at once.
  sleep(loop_, backoff_.next(Duration::zero()))
      .then([this, before = attempts_] {
        if (attempts_ == before && !client_.connected()) attempt();
      })
      .detach();
}

void Connection::lost() {
  if (kept_) attempt_later();
}

}  // namespace snowfox::node
