#include <snowfox/sources/signal_source.h>

#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <system_error>

#include <snowfox/core/loop_manager.h>

namespace snowfox {
namespace {

// Signals belong to the process, so which of them are taken is known to the process: a bit each.
std::atomic<std::uint64_t> taken_signals{0};

std::uint64_t bit(int signal) { return std::uint64_t{1} << (signal - 1); }

std::uint64_t bits(const sigset_t& signals) {
  std::uint64_t all = 0;
  for (int signal = 1; signal < NSIG; ++signal) {
    if (sigismember(&signals, signal) == 1) all |= bit(signal);
  }
  return all;
}

std::string signal_name(int signal) {
  if (const char* name = sigabbrev_np(signal)) return std::string("SIG") + name;
  return "signal " + std::to_string(signal);
}

std::string names(std::uint64_t signals) {
  std::string all;
  for (int signal = 1; signal < NSIG; ++signal) {
    if ((signals & bit(signal)) != 0) all += (all.empty() ? "" : " ") + signal_name(signal);
  }
  return all;
}

bool can_be_waited_for(int signal) {
  for (const int never : {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    if (signal == never) return false;
  }
  return true;
}

sigset_t set_of(const std::vector<int>& signals) {
  if (signals.empty()) throw std::invalid_argument("a SignalSource without a signal");
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) {
    if (sigismember(&set, signal) == 1) throw std::invalid_argument(signal_name(signal) + " is named twice");
    if (!can_be_waited_for(signal) || sigaddset(&set, signal) != 0) {
      throw std::invalid_argument(signal_name(signal) + " cannot be waited for");
    }
  }
  return set;
}

void take(std::uint64_t signals) {
  std::uint64_t others = taken_signals.load();
  do {
    if ((others & signals) != 0) {
      throw std::system_error(std::make_error_code(std::errc::device_or_resource_busy),
                              "another SignalSource waits for " + names(others & signals));
    }
  } while (!taken_signals.compare_exchange_weak(others, others | signals));
}

/// Gives signals back unless told to keep them: for a constructor that fails halfway.
struct GiveBack {
  std::uint64_t signals;
  bool keep = false;
  ~GiveBack() {
    if (!keep) taken_signals.fetch_and(~signals);
  }
};

}  // namespace

SignalSource::SignalSource(LoopManager& loop, const std::vector<int>& signals, Handler on_signal)
    : EventSource(loop), handler_(std::make_shared<const Handler>(std::move(on_signal))), signals_(set_of(signals)) {
  take(bits(signals_));
  GiveBack give_back{bits(signals_)};

  Descriptor descriptor(Io::system(), signalfd(-1, &signals_, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!descriptor) throw std::system_error(errno, std::system_category(), "wait for " + names(bits(signals_)));
  channel_ = Channel::make(loop, std::move(descriptor));
  channel_->set_source(this);
  if (!channel_->watch_read(true)) throw std::system_error(EIO, std::system_category(), "watch a signal descriptor");

  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &signals_, &before);
  sigemptyset(&blocked_here_);
  for (const int signal : signals) {
    if (sigismember(&before, signal) == 0) sigaddset(&blocked_here_, signal);
  }
  give_back.keep = true;
}

SignalSource::SignalSource(LoopManager& loop, const std::vector<int>& signals, std::function<void()> on_signal)
    : SignalSource(loop, signals, Handler([on_signal = std::move(on_signal)](int) { on_signal(); })) {}

SignalSource::~SignalSource() { let_go(); }

void SignalSource::let_go() noexcept {
  if (!channel_) return;
  signalfd_siginfo forgotten;
  while (channel_->io().read(channel_->fd(), std::as_writable_bytes(std::span(&forgotten, 1))) > 0) {
  }
  channel_.reset();
  pthread_sigmask(SIG_UNBLOCK, &blocked_here_, nullptr);
  taken_signals.fetch_and(~bits(signals_));
}

EventRef SignalSource::parse() {
  signalfd_siginfo info;
  const ssize_t size = channel_->io().read(channel_->fd(), std::as_writable_bytes(std::span(&info, 1)));
  if (size == -EAGAIN) return nullptr;
  if (size != sizeof info) {
    throw std::system_error(size < 0 ? static_cast<int>(-size) : EIO, std::system_category(), "read a signal");
  }
  const int signal = static_cast<int>(info.ssi_signo);
  loop().log().info("signal", "signal received",
                    {{"signal", signal_name(signal)}, {"sender_pid", info.ssi_pid}, {"sender_uid", info.ssi_uid}});
  return std::make_unique<SignalReceived>(handler_, signal);
}

void SignalSource::on_pause_changed() noexcept {
  if (channel_) channel_->watch_read(!paused());
}

std::string SignalSource::name() const { return "signals " + names(bits(signals_)); }

}  // namespace snowfox
