#include <snowfox/http_client/scripted_http_requester.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/http_client/http_client_error.h>

#include "http_client_exchange.h"

namespace snowfox {

/// One request that waits for its answer.
class ScriptedHttpRequester::Exchange final : public Timer, public ListNode<Exchange> {
 public:
  Exchange(ScriptedHttpRequester& requester, HttpClientRequest&& request, Resolver<HttpClientResponse>&& resolver)
      : requester_(requester), request_(std::move(request)), resolver_(std::move(resolver)) {
    resolver_.on_cancel([this] { go(); });
  }

  void begin() {
    answer_ = requester_.script_(request_);
    const HttpClientTimeouts& timeouts = *request_.timeouts;
    const bool never = !answer_.response && answer_.error == nullptr;
    Duration after = never ? Duration::max() : answer_.after;
    const Duration limit = std::min(timeouts.headers, timeouts.total);
    if (after > limit) {
      after = limit;
      reject_later(timeouts.headers <= timeouts.total ? HttpClientErrc::HeadersTimeout : HttpClientErrc::TotalTimeout);
    }
    requester_.loop_.arm(*this, deadline_after(requester_.loop_.now(), after));
  }
  void reject(std::error_code code) noexcept {
    reject_later(code);
    settle();
  }

 private:
  using Node = ListNode<Exchange>;

  void reject_later(std::error_code code) { answer_ = {.error = http_client_problem(request_, code, {}, true)}; }
  void expire() noexcept override {
    if (answer_.error == nullptr && request_.on_body && !answer_.response->body.empty()) return give_body();
    settle();
  }
  void give_body() noexcept {
    // The function may drop the promise, and so this: what it uses meanwhile is in here.
    const HttpClientRequest::OnBody on_body = std::move(request_.on_body);
    const std::string body = std::exchange(answer_.response->body, {});
    bool gone = false;
    gone_ = &gone;
    std::exception_ptr error;
    Promise<void> flow;
    try {
      const HttpClientResponse head = *answer_.response;
      flow = on_body(head, body);
    } catch (...) {
      error = std::current_exception();
    }
    if (gone) return;
    gone_ = nullptr;
    answer_.error = error;
    if (error != nullptr || !flow.valid()) return settle();
    flow_ = std::move(flow).then([this] { settle(); }).otherwise([this](std::exception_ptr why) {
      answer_.error = std::move(why);
      settle();
    });
  }
  void settle() noexcept {
    Resolver<HttpClientResponse> resolver = std::move(resolver_);
    ScriptedHttpAnswer answer = std::move(answer_);
    go();
    if (answer.error != nullptr) return resolver.reject(answer.error);
    resolver.resolve(std::move(*answer.response));
  }
  void go() noexcept {
    if (gone_ != nullptr) *gone_ = true;
    --requester_.under_way_;
    const std::unique_ptr<Exchange> gone(this);
  }

  ScriptedHttpRequester& requester_;
  HttpClientRequest request_;
  Resolver<HttpClientResponse> resolver_;
  ScriptedHttpAnswer answer_;
  Promise<void> flow_;
  bool* gone_ = nullptr;  // to be told, while the program's function runs
};

ScriptedHttpRequester::ScriptedHttpRequester(LoopManager& loop, Script script)
    : loop_(loop),
      script_(std::move(script)),
      on_exit_(loop.lifecycle().process_exit.add([this](LoopManager&, int) { reject_all(); })) {}

ScriptedHttpRequester::~ScriptedHttpRequester() { reject_all(); }

Promise<HttpClientResponse> ScriptedHttpRequester::send(HttpClientRequest request) {
  if (request.correlation_id.empty()) request.correlation_id = loop_.ids().next();
  if (!request.timeouts) request.timeouts.emplace();
  auto [promise, resolver] = make_promise<HttpClientResponse>(loop_, request.correlation_id);
  auto exchange = std::make_unique<Exchange>(*this, std::move(request), std::move(resolver));
  exchange->begin();
  ++under_way_;
  exchanges_.push_back(*exchange.release());
  return std::move(promise);
}

void ScriptedHttpRequester::reject_all() noexcept {
  while (!exchanges_.empty()) exchanges_.front().reject(Errc::ShuttingDown);
}

}  // namespace snowfox
