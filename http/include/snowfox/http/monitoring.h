#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/address.h>
#include <snowfox/http/http_protocol.h>
#include <snowfox/http/metrics.h>

namespace snowfox {

class ListenerSource;
class LoopManager;

/// What a daemon tells about itself over HTTP, for Prometheus and whatever starts and stops it:
///
/// - `GET /metrics`: `metrics`, among them the loop's and the process's.
/// - `GET /live`: 200 as long as the loop turns.
/// - `GET /ready`: 200, or 503 naming what is not ready.
///
/// In any daemon by one line: `Monitoring monitoring(loop, Address::parse("127.0.0.1:9100"));`
class Monitoring {
 public:
  /// To be served by add_to(). `loop` must outlive it.
  explicit Monitoring(LoopManager& loop);
  /// With a listener of its own. Throws as ListenerSource.
  Monitoring(LoopManager& loop, const Address& address);
  ~Monitoring();
  Monitoring(const Monitoring&) = delete;
  Monitoring& operator=(const Monitoring&) = delete;

  Metrics metrics;

  /// `/ready` says 503, naming `what`, as long as `check` says false.
  void ready_when(std::string_view what, std::function<bool()> check);
  /// The metrics, labelled `server="NAME"`, of a program's own server; it is not ready once it is finishing. `protocol`
  /// must outlive this.
  void watch(const HttpProtocol& protocol, std::string_view name);
  /// Has `protocol`, too, serve the three paths; it must not serve any more once this is gone.
  void add_to(HttpProtocol& protocol);

  /// Where its own listener listens.
  Address local_address() const;

 private:
  void add_loop_metrics();
  void add_process_metrics();
  void answer_ready(HttpEvent& event) const;

  LoopManager& loop_;
  std::vector<std::pair<std::string, std::function<bool()>>> checks_;
  std::unique_ptr<HttpProtocol> protocol_;  // its own
  std::unique_ptr<ListenerSource> listener_;
};

}  // namespace snowfox
