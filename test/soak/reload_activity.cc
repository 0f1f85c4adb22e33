#include "soak/reload_activity.h"

#include <chrono>
#include <utility>

#include <snowfox/promises/sleep.h>

#include "common/message.h"

namespace snowfox::soak {

using namespace std::chrono_literals;

ReloadActivity::ReloadActivity(LoopManager& loop, Tally& tally, const Address& node, Configure configure,
                               std::function<void()> send_signal)
    : Activity(loop, tally), node_(node), configure_(std::move(configure)), send_signal_(std::move(send_signal)) {
  run("reload", reload());
}

Task<> ReloadActivity::reload() {
  node::LoadClient client(loop(), figures_);
  co_await client.connect(node_);
  for (int number = 1; !finishing(); ++number) {
    const bool bad = number % 3 == 0;
    configure_(number, bad);
    if (number % 4 == 0) {
      send_signal_();
      tally().done("reloads by signal");
      // Its outcome nobody is told; a reload that is asked for after it must not find the file half written.
      co_await sleep(loop(), 100ms);
    }
    bool refused = false;
    try {
      co_await client.reload();
    } catch (const node::RemoteError&) {
      refused = true;
    }
    if (refused != bad) tally().failed("reload", bad ? "a bad configuration was taken" : "a good one was refused");
    tally().done(refused ? "reloads refused" : "reloads");
    co_await sleep(loop(), 50ms);
  }
}

}  // namespace snowfox::soak
