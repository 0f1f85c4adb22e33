#include <snowfox/http_client/scripted_http_requester.h>

#include <memory>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/http_client/http_client_error.h>

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

  void reject_later(std::error_code code) {
    answer_ = {.error = std::make_exception_ptr(HttpClientError(code, request_.method + " " + request_.url, true))};
  }
  void expire() noexcept override {
    if (answer_.error == nullptr && request_.on_body && !answer_.response->body.empty()) return give_body();
    settle();
  }
  void give_body() noexcept {
    const std::string body = std::exchange(answer_.response->body, {});
    try {
      Promise<void> flow = request_.on_body(*answer_.response, body);
      if (flow.valid()) {
        flow_ = std::move(flow).then([this] { settle(); }).otherwise([this](std::exception_ptr error) {
          answer_.error = std::move(error);
          settle();
        });
        return;
      }
    } catch (...) {
      answer_.error = std::current_exception();
    }
    settle();
  }
  void settle() noexcept {
    Resolver<HttpClientResponse> resolver = std::move(resolver_);
    ScriptedHttpAnswer answer = std::move(answer_);
    go();
    if (answer.error != nullptr) return resolver.reject(answer.error);
    resolver.resolve(std::move(*answer.response));
  }
  void go() noexcept {
    --requester_.under_way_;
    const std::unique_ptr<Exchange> gone(this);
  }

  ScriptedHttpRequester& requester_;
  HttpClientRequest request_;
  Resolver<HttpClientResponse> resolver_;
  ScriptedHttpAnswer answer_;
  Promise<void> flow_;
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
