#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/core/poller.h>

#include "connection_settings.h"

namespace snowfox {

/// Looks up addresses of hosts on a thread of the poller's pool, where getaddrinfo may block. It owns itself from
/// start() until it is back.
class NameLookup final : public Work {
 public:
  /// The hosts, one for each address; or none, and why.
  using Found = std::function<void(std::vector<DatabaseHost>, std::string error)>;

  /// `found` is called on the loop, unless it is given up before. Throws what Poller::submit throws.
  static NameLookup* start(LoopManager& loop, std::vector<DatabaseHost> hosts, Found found);
  void give_up() noexcept { found_ = nullptr; }

 private:
  NameLookup(LoopManager& loop, std::vector<DatabaseHost> hosts, Found found)
      : loop_(loop), hosts_(std::move(hosts)), found_(std::move(found)) {}
  void run() noexcept override;
  void done() noexcept override;

  LoopManager& loop_;
  std::vector<DatabaseHost> hosts_;
  std::vector<DatabaseHost> addresses_;
  std::string error_;
  Found found_;
};

}  // namespace snowfox
