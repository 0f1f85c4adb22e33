#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/http_client/http_requester.h>

namespace snowfox {

/// What a script says to a request: a response, or an error, after a while; by default never.
struct ScriptedHttpAnswer {
  std::optional<HttpClientResponse> response{};
  std::exception_ptr error{};
  Duration after = Duration::zero();
};

/// Answers requests by a function of the test's, over no network, in the loop's time: for tests and simulations. It has
/// an HttpClient's timeouts for headers and the whole, and its ways to end; of limits, names and connections it knows
/// nothing. A body that `on_body` is to take comes in one piece; the promise must not be dropped from within that call.
class ScriptedHttpRequester final : public HttpRequester {
 public:
  using Script = std::function<ScriptedHttpAnswer(const HttpClientRequest&)>;

  /// `loop` must outlive it.
  ScriptedHttpRequester(LoopManager& loop, Script script);
  /// Rejects with Errc::ShuttingDown what is not answered; so does the end of the loop.
  ~ScriptedHttpRequester() override;

  Promise<HttpClientResponse> send(HttpClientRequest request) override;

  std::size_t under_way() const noexcept { return under_way_; }

 private:
  class Exchange;
  void reject_all() noexcept;

  LoopManager& loop_;
  Script script_;
  std::size_t under_way_ = 0;
  IntrusiveList<Exchange, Exchange> exchanges_;  // owned
  Hook<LoopManager&, int>::Token on_exit_;
};

}  // namespace snowfox
