#include "client/interruption.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <system_error>
#include <utility>

#include <snowfox/core/event.h>
#include <snowfox/core/io.h>

namespace snowfox::node {
namespace {

constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP};

/// What the handler uses.
std::atomic<int> wake = -1;
std::atomic<int> received = 0;  // 0: none
std::atomic<bool> noticed = false;
std::atomic<std::int64_t> received_at = 0;  // in milliseconds
static_assert(std::atomic<std::int64_t>::is_always_lock_free, "signal handlers may use it");

/// Who is asked is given so long to notice: some tools send a signal twice.
constexpr std::int64_t kPatienceMs = 200;

std::int64_t now_ms() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

void on_signal(int signal) {
  const int error = errno;
  if (received.exchange(signal) == 0) {
    received_at = now_ms();
  } else if (!noticed && now_ms() - received_at > kPatienceMs) {
    std::signal(signal, SIG_DFL);
    raise(signal);  // when this returns
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake, &one, sizeof one);
  errno = error;
}

}  // namespace

Interruption::Interruption(LoopManager& loop, std::function<void(int signal)> on_signal_received)
    : EventSource(loop), on_signal_(std::move(on_signal_received)) {
  assert(wake == -1);
  Descriptor descriptor(Io::system(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!descriptor) throw std::system_error(errno, std::system_category(), "wait for signals");
  channel_ = Channel::make(loop, std::move(descriptor));
  channel_->set_source(this);
  if (!channel_->watch_read(true)) throw std::system_error(EIO, std::system_category(), "wait for signals");
  set_background(true);
  wake = channel_->fd();
  for (const int signal : kSignals) {
    struct sigaction action {};
    // Who is told to ignore it, as by nohup, does so.
    sigaction(signal, nullptr, &action);
    if (action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = on_signal;  // and no SA_RESTART
    sigaction(signal, &action, nullptr);
  }
}

Interruption::~Interruption() {
  for (const int signal : kSignals) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler == on_signal) std::signal(signal, SIG_DFL);
  }
  wake = -1;
  received = 0;
}

bool Interruption::asked() noexcept {
  if (received == 0) return false;
  noticed = true;
  return true;
}

EventRef Interruption::parse() {
  std::uint64_t ignored = 0;
  [[maybe_unused]] const ssize_t size = read(fd(), &ignored, sizeof ignored);
  noticed = false;
  const int signal = received.exchange(0);
  if (signal == 0) return nullptr;
  return make_event([this, signal] { on_signal_(signal); }, {.name = "Interrupted"});
}

void Interruption::on_pause_changed() noexcept {
  if (channel_) channel_->watch_read(!paused());
}

}  // namespace snowfox::node
