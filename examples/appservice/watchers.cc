#include "appservice/watchers.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <map>
#include <string>
#include <utility>

#include <snowfox/core/log.h>

namespace snowfox::appservice {
namespace {

using namespace std::chrono_literals;

constexpr Duration kPeriod = 1s;
/// Without anything new a comment is sent: proxies close what is silent, and who is gone is noticed.
constexpr Duration kHeartbeat = 15s;

std::string message(const std::string& text) { return "data: " + text + "\n\n"; }

}  // namespace

bool Watchers::add(HttpResponder& responder, OverviewQuery query) {
  forget_gone();
  if (closed_ || watchers_.size() >= kMost) return false;
  overview_.take();
  responder.begin(
      {.content_type = "text/event-stream",
       .body = "retry: 2000\n" + message(overview_.text(query)),
       .fields = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}, {"X-Accel-Buffering", "no"}}});
  watchers_.push_back({std::move(responder), std::move(query), overview_.fingerprint(), loop_.now()});
  if (!armed()) loop_.arm(*this, kPeriod);
  return true;
}

void Watchers::close() {
  closed_ = true;
  disarm();
  for (Watcher& watcher : watchers_) watcher.responder.finish();
  watchers_.clear();
}

void Watchers::forget_gone() noexcept {
  std::erase_if(watchers_, [](const Watcher& watcher) { return !watcher.responder.open(); });
}

void Watchers::expire() noexcept {
  try {
    look();
  } catch (const std::exception& error) {
    log_if_possible([&] { loop_.log().warning("admin", "watchers could not be told", {{"error", error.what()}}); });
  }
  if (!watchers_.empty()) loop_.arm(*this, kPeriod);
}

void Watchers::look() {
  forget_gone();
  if (watchers_.empty()) return;
  overview_.take();
  std::map<OverviewQuery, std::string> messages;
  for (Watcher& watcher : watchers_) {
    if (watcher.responder.congested()) continue;
    if (watcher.seen != overview_.fingerprint()) {
      std::string& text = messages[watcher.query];
      if (text.empty()) text = message(overview_.text(watcher.query));
      watcher.responder.write(text);
      watcher.seen = overview_.fingerprint();
    } else if (loop_.now() - watcher.told >= kHeartbeat) {
      watcher.responder.write(": nothing new\n\n");
    } else {
      continue;
    }
    watcher.told = loop_.now();
  }
}

}  // namespace snowfox::appservice
