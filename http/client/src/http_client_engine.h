#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <curl/curl.h>

#include <snowfox/core/event_source.h>
#include <snowfox/core/explanation.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/lifecycle.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>
#include <snowfox/http_client/http_client.h>

#include "curl_sockets.h"
#include "http_client_exchange.h"
#include "http_client_hosts.h"
#include "http_client_transfer.h"

namespace snowfox {

/// What an HttpClient is inside: a source that, when its turn comes, lets libcurl go on with what is ready, and whose
/// events give the program what has come of it. libcurl is called from there, from timers and from the program's own
/// calls, never from inside itself; and whatever it calls back changes only what is ours.
class HttpClientEngine final : public EventSource, private CurlSockets::Owner {
 public:
  HttpClientEngine(LoopManager& loop, HttpClientOptions options);
  ~HttpClientEngine() override;

  Promise<HttpClientResponse> send(HttpClientRequest&& request);
  const HttpClientOptions& options() const noexcept { return options_; }
  const HttpClientCounters& counters() const noexcept { return counters_; }
  std::size_t under_way() const noexcept { return under_way_; }
  std::size_t waiting() const noexcept { return hosts_.waiting(); }
  std::size_t connections() const noexcept { return sockets_.connections(); }

  EventRef parse() override;
  std::string name() const override;

  // --- for an exchange ---

  /// Gives up what is under way.
  void break_off(HttpClientExchange& exchange, std::error_code code) noexcept;
  void break_off(HttpClientExchange& exchange, std::exception_ptr error) noexcept;
  void deliver_if_possible(HttpClientExchange& exchange) noexcept;
  /// The program has taken what it was given.
  void go_on(HttpClientExchange& exchange) noexcept;
  /// Gives the program the response or the error; `exchange` is no more after that.
  void settle(HttpClientExchange& exchange) noexcept;
  /// Nobody will settle it.
  void forget(HttpClientExchange& exchange) noexcept;
  void count_body(std::size_t bytes) noexcept { counters_.body_bytes += bytes; }

  // --- for a transfer, from inside libcurl ---

  void lookup_begins(HttpClientExchange& exchange) noexcept;
  void name_is_known(HttpClientExchange& exchange) noexcept;
  /// A new socket, or -1.
  int open(int family, int type, int protocol) noexcept;
  static int on_close(void* self, curl_socket_t fd) noexcept;

 private:
  struct CloseMulti {
    void operator()(CURLM* multi) const noexcept { curl_multi_cleanup(multi); }
  };
  struct CurlTimer final : Timer {
    explicit CurlTimer(HttpClientEngine& whose) noexcept : engine(whose) {}
    void expire() noexcept override;
    HttpClientEngine& engine;
  };
  struct SweepTimer final : Timer {
    explicit SweepTimer(HttpClientEngine& whose) noexcept : engine(whose) {}
    void expire() noexcept override { engine.sweep(); }
    HttpClientEngine& engine;
  };

  Promise<HttpClientResponse> refuse(const HttpClientRequest& request, std::error_code code, std::string_view detail);
  void start(HttpClientExchange& exchange) noexcept;
  void start_those_in_turn() noexcept;
  void drive() noexcept;
  void collect() noexcept;
  void transfer_over(HttpClientTransfer& transfer, CURLcode code) noexcept;
  bool redirected(HttpClientExchange& exchange);
  void begin_again(HttpClientExchange& exchange);
  void fail_those_waiting_for(HttpClientHost& host, std::error_code code) noexcept;
  void break_off_unwatched() noexcept;
  void release(HttpClientExchange& exchange) noexcept;
  void end(HttpClientExchange& exchange, std::exception_ptr error) noexcept;
  void cancel(HttpClientExchange& exchange) noexcept;
  void remove(HttpClientExchange& exchange) noexcept;
  void reject_all() noexcept;
  void tell(const CorrelationId& id, StepKind kind) noexcept;
  HttpClientTransfer& take_transfer();
  void sweep() noexcept;

  void on_stopping() noexcept override { reject_all(); }
  void on_socket_ready() noexcept override { ready(); }
  void on_idle_socket() noexcept override;
  static int on_socket(CURL* easy, curl_socket_t fd, int wanted, void* self, void*) noexcept;
  static int on_timer(CURLM*, long milliseconds, void* self) noexcept;

  const HttpClientOptions options_;
  HttpClientCounters counters_;
  HttpClientHosts hosts_{options_};
  CurlSockets sockets_;
  CurlTimer curl_timer_{*this};
  SweepTimer sweep_timer_{*this};
  std::unique_ptr<CURLM, CloseMulti> multi_;
  std::vector<std::unique_ptr<HttpClientTransfer>> transfers_;  // those that do nothing now
  std::unique_ptr<HttpClientTransfer> sweeper_;
  bool sweeping_ = false;
  bool action_due_ = false;  // libcurl wants to be called, for no descriptor
  bool turns_due_ = false;   // others may have their turn now
  bool unwatched_ = false;   // some exchange's descriptor could not be watched
  std::uint64_t last_span_;
  std::size_t under_way_ = 0;
  IntrusiveList<HttpClientExchange::Member, HttpClientExchange::Member> exchanges_;  // owned
  IntrusiveList<HttpClientExchange::ToDeliver, HttpClientExchange::ToDeliver> to_deliver_;
  Hook<Audit&>::Token on_audit_;
  Hook<Explanation&>::Token on_explain_;
};

}  // namespace snowfox
