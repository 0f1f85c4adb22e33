#pragma once

#include <functional>
#include <string>

#include <snowfox/core/address.h>

#include "load/node_load.h"
#include "soak/activity.h"

namespace snowfox::soak {

/// Reloads of a node, every third refused: some asked for by a client, some by signal.
class ReloadActivity final : public Activity {
 public:
  /// `configure` writes configuration number `n`, a bad one if so asked; `send_signal` is what sends HUP.
  using Configure = std::function<void(int number, bool bad)>;

  ReloadActivity(LoopManager& loop, Tally& tally, const Address& node, Configure configure,
                 std::function<void()> send_signal);
  ~ReloadActivity() override { drop_tasks(); }

  const node::LoadFigures& figures() const noexcept { return figures_; }

 private:
  Task<> reload();

  Address node_;
  Configure configure_;
  std::function<void()> send_signal_;
  node::LoadFigures figures_;
};

}  // namespace snowfox::soak
