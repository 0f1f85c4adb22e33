#include <snowfox/context/service_notifier.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/log.h>

namespace snowfox {
namespace {

constexpr Duration kTellAgain = std::chrono::milliseconds(20);

bool is_busy(std::error_code error) { return error == std::errc::resource_unavailable_try_again; }

}  // namespace

void ServiceNotifier::ready_as(pid_t main_process) noexcept {
  log_if_possible([&] { tell(Notifier::ready_state() + "\nMAINPID=" + std::to_string(main_process)); });
}

void ServiceNotifier::status(std::string_view text) noexcept {
  log_if_possible([&] {
    std::string state = Notifier::status_state(text);
    if (!connected() || state == status_) return;
    status_ = state;
    std::erase_if(untold_, [](const std::string& older) { return older.starts_with("STATUS="); });
    tell(std::move(state));
  });
}

void ServiceNotifier::alive() noexcept {
  if (!untold_.empty()) return;
  const std::error_code error = send("WATCHDOG=1");
  if (is_busy(error)) warn(error, "WATCHDOG=1");
}

void ServiceNotifier::tell(std::string (*state)()) noexcept {
  log_if_possible([&] { tell(state()); });
}

void ServiceNotifier::tell(std::string state) {
  if (untold_.empty() && !is_busy(send(state))) return;
  if (untold_.size() == kMostUntold) untold_.pop_front();
  untold_.push_back(std::move(state));
  if (!again_.armed()) loop_.arm(again_, kTellAgain);
}

void ServiceNotifier::tell_again() noexcept {
  while (!untold_.empty() && !is_busy(send(untold_.front()))) untold_.pop_front();
  if (!untold_.empty()) loop_.arm(again_, kTellAgain);
}

std::error_code ServiceNotifier::send(const std::string& state) noexcept {
  const std::error_code error = notifier_.send(state);
  if (!error) warned_ = false;
  if (error && !is_busy(error)) warn(error, state);
  return error;
}

void ServiceNotifier::warn(std::error_code error, std::string_view state) noexcept {
  if (std::exchange(warned_, true)) return;
  log_if_possible([&] {
    loop_.log().warning("process", "the service manager was not told",
                        {{"error", error.message()}, {"state", state.substr(0, state.find('\n'))}});
  });
}

}  // namespace snowfox
