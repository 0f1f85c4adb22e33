#include "client/repetition.h"

#include <utility>

#include <fmt/format.h>

#include "client/call_meaning.h"
#include "client/message_text.h"

namespace snowfox::node {

std::string Repetition::Result::text() const {
  return fmt::format("{} requests at once: {} answered, {} failed, {} out of order, {:.3f} s\n", requests, answered,
                     failed, out_of_order, seconds);
}

std::string Repetition::Result::json() const {
  return fmt::format("{{\"requests\":{},\"answered\":{},\"failed\":{},\"out_of_order\":{},\"seconds\":{:.6f}}}\n",
                     requests, answered, failed, out_of_order, seconds);
}

void Repetition::run(const std::vector<Call>& calls, std::size_t times, std::function<void(const Result&)> on_done) {
  on_done_ = std::move(on_done);
  began_ = std::chrono::steady_clock::now();
  ++pending_;  // until all requests are made
  for (std::size_t i = 0; i < times; ++i) {
    for (const Call& call : calls) request(call);
  }
  one_done();
}

void Repetition::request(const Call& call) {
  if (!request_of(call)) return;
  const std::size_t number = ++result_.requests;
  ++pending_;
  client_.ask(call)
      .then([this, number](const NodeClient::Message&) { answered(number); })
      .otherwise([this, call](const std::exception_ptr& error) { failed(call, error); })
      .finally([this] { one_done(); })
      .detach();
}

void Repetition::answered(std::size_t number) {
  ++result_.answered;
  if (number < latest_answered_) ++result_.out_of_order;
  latest_answered_ = std::max(latest_answered_, number);
}

void Repetition::failed(const Call& call, const std::exception_ptr& error) {
  if (result_.failed++ == 0) {
    result_.first_failure = fmt::format("{}: {}", call.str(), printable(tell(error, timeout_)));
  }
}

void Repetition::one_done() {
  if (--pending_ != 0) return;
  result_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  on_done_(result_);
}

}  // namespace snowfox::node
