#include "appservice/transaction.h"

#include <chrono>
#include <utility>

#include <snowfox/core/loop_manager.h>

#include "appservice/client_event.h"

namespace snowfox::appservice {
namespace {

constexpr std::string_view kBegin = R"({"events":[)";
constexpr std::string_view kEnd = "]}";

}  // namespace

Milliseconds wall_milliseconds(LoopManager& loop) {
  using std::chrono::duration_cast;
  return duration_cast<std::chrono::milliseconds>(loop.poller().wall_now().time_since_epoch()).count();
}

TransactionBody::TransactionBody(const TransactionLimits& limits, Milliseconds now)
    : limits_(limits), now_(now), text_(kBegin) {}

bool TransactionBody::add(std::string_view event, Milliseconds age_ts) {
  if (events_ > 0 && events_ >= limits_.events) return false;
  const std::size_t before = text_.size();
  if (events_ > 0) text_ += ',';
  append_with_age(text_, event, age_ts, now_);
  if (events_ > 0 && text_.size() + kEnd.size() > limits_.bytes) {
    text_.resize(before);
    return false;
  }
  ++events_;
  return true;
}

std::shared_ptr<const std::string> TransactionBody::take() {
  text_ += kEnd;
  return std::make_shared<const std::string>(std::move(text_));
}

}  // namespace snowfox::appservice
