#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <snowfox/core/loop_manager.h>

#include "appservice/delivery.h"
#include "appservice/scheduler.h"
#include "appservice/store.h"

namespace snowfox::appservice {

/// Which services are wanted.
struct OverviewQuery {
  static constexpr std::size_t kUsualLimit = 200;
  static constexpr std::size_t kMostLimit = 1000;

  std::string service;  ///< the one of this id; empty: any
  std::string match;    ///< part of the id or the URL, in any case; empty: any
  std::size_t limit = kUsualLimit;
  std::size_t offset = 0;

  auto operator<=>(const OverviewQuery&) const = default;
};

/// What else there is to be told of a daemon.
struct OverviewFacts {
  std::string version;
  std::string store;  ///< where it is, as StoreConfiguration::shown()
  /// An object of the intake's numbers; those that only grow have names that end in `_total`.
  std::function<nlohmann::json()> intake = [] { return nlohmann::json::object(); };
};

/// What the daemon does, as JSON for people and programs. It tells no token: where a text from outside repeats one of
/// the service's, there are dots in its place.
class Overview {
 public:
  /// `loop`, `scheduler` and `store` must outlive it.
  Overview(LoopManager& loop, Scheduler& scheduler, const Store& store, OverviewFacts facts);

  /// Looks at everything; what the others tell is of that moment.
  void take();
  /// Changes when anything has changed but the time.
  std::uint64_t fingerprint() const noexcept { return fingerprint_; }
  /// Services with trouble come first: those that are down, then with parked transactions, paused, with a backlog;
  /// among those by id. UTF-8, without line breaks.
  std::string text(const OverviewQuery& query) const;

  /// Of one service, now.
  nlohmann::json service(const Delivery& delivery) const;
  const OverviewFacts& facts() const noexcept { return facts_; }
  void set_store(std::string shown) { facts_.store = std::move(shown); }

 private:
  struct Row {
    const Delivery* delivery;
    DeliveryStatus status;
  };
  nlohmann::json shown(const Delivery& delivery, const DeliveryStatus& status) const;
  std::uint64_t fingerprint_now() const;

  LoopManager& loop_;
  Scheduler& scheduler_;
  const Store& store_;
  OverviewFacts facts_;
  Milliseconds started_;
  Milliseconds now_;
  std::vector<Row> rows_;
  std::vector<ServiceRecord> unregistered_;
  std::string trouble_;
  nlohmann::json intake_;
  nlohmann::json totals_;
  std::uint64_t fingerprint_ = 0;
};

/// JSON on one line; what is no UTF-8 has U+FFFD in its place.
std::string json_line(const nlohmann::json& value);

}  // namespace snowfox::appservice
