#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/http/http_protocol.h>
#include <snowfox/http/metrics.h>

#include "appservice/overview.h"
#include "appservice/scheduler.h"
#include "appservice/store.h"
#include "appservice/watchers.h"

namespace snowfox::appservice {

/// What those who run the daemon see of it, and tell it, over HTTP. Below `/_snowfox/appservice/v1`, errors being as
/// Matrix has them:
///
/// - `GET /` (of the whole): the status page.
/// - `GET /services`, with OverviewQuery's members in the query: what Overview tells.
/// - `GET /watch`, the same: tells again whenever it changes; see Watchers.
/// - `GET /services/{id}/parked`: the oldest transactions that are parked, and why.
/// - `POST /services/{id}/pause`, `…/resume`, `…/retry`, `…/ping`, `…/parked/{txn}/requeue`.
///
/// There are no passwords: who reaches the listener may ask. But the browser of who reaches it may be used by any site
/// that it shows. So what changes something must have the field `X-SnowFox-Admin: 1`, which no form can send, and no
/// script of another site without asking first; and `Host` must be an IP address, `localhost` or one of set_hosts(), so
/// that no foreign name can be made to mean this daemon.
class Admin {
 public:
  /// All must outlive it. Adds its routes to `protocol`, which must not serve any more once this is gone, and numbers
  /// to `metrics`, whose text must not be asked for any more.
  Admin(LoopManager& loop, HttpProtocol& protocol, Scheduler& scheduler, Store& store, Metrics& metrics,
        OverviewFacts facts);
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  /// By these names, too, this daemon may be asked.
  void set_hosts(std::vector<std::string> names) { hosts_ = std::move(names); }
  /// Where the store is: as StoreConfiguration::shown().
  void set_store(std::string shown) { overview_.set_store(std::move(shown)); }
  /// Ends what would go on for ever: to be called before HttpProtocol::finish(). Who watches afterwards gets 503.
  void finish() { watchers_.close(); }

  std::size_t watchers() const noexcept { return watchers_.size(); }

 private:
  using Handler = void (Admin::*)(HttpEvent&);
  using Action = void (Admin::*)(HttpEvent&, Delivery&);
  void route(HttpProtocol& protocol, std::string_view pattern, Handler handler);
  void route_service(HttpProtocol& protocol, std::string_view method, std::string_view pattern, Action action);
  bool host_is_known(HttpEvent& event) const;

  void page(HttpEvent& event);
  void services(HttpEvent& event);
  void watch(HttpEvent& event);
  void parked(HttpEvent& event, Delivery& delivery);
  void pause(HttpEvent& event, Delivery& delivery);
  void resume(HttpEvent& event, Delivery& delivery);
  void retry(HttpEvent& event, Delivery& delivery);
  void ping(HttpEvent& event, Delivery& delivery);
  void requeue(HttpEvent& event, Delivery& delivery);
  void answer_service(HttpResponder& responder, const Delivery& delivery) const;
  void answer_when(HttpEvent& event, Delivery& delivery, Promise<void> done);

  LoopManager& loop_;
  Scheduler& scheduler_;
  Overview overview_;
  Watchers watchers_;
  std::vector<std::string> hosts_;
};

/// Whether `host`, as in a request, with or without a port, is an IP address, `localhost` or one of `names`.
bool known_host(std::string_view host, const std::vector<std::string>& names) noexcept;

/// Adds what `scheduler` and `store` count, and `overview`'s intake numbers; each must outlive the use of `metrics`.
void add_metrics(Metrics& metrics, LoopManager& loop, Scheduler& scheduler, const Store& store,
                 const OverviewFacts& facts);

}  // namespace snowfox::appservice
