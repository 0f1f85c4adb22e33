#include <snowfox/sources/signal_source.h>

#include <sys/signalfd.h>

#include <cerrno>
#include <span>
#include <stdexcept>
#include <system_error>

#include <snowfox/core/loop_manager.h>
#include <snowfox/core/signal_name.h>

namespace snowfox {
namespace {

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

}  // namespace

SignalSource::SignalSource(LoopManager& loop, const std::vector<int>& signals, Handler on_signal)
    : EventSource(loop), handler_(std::make_shared<const Handler>(std::move(on_signal))), signals_(set_of(signals)) {
  Io& io = loop.io();
  Descriptor descriptor = io.take_signals(signals_, newly_blocked_);
  try {
    channel_ = Channel::make(loop, std::move(descriptor));
    channel_->set_source(this);
    if (!channel_->watch_read(true)) throw std::system_error(EIO, std::system_category(), "watch a signal descriptor");
  } catch (...) {
    channel_.reset();
    io.give_back_signals(signals_, newly_blocked_);
    throw;
  }
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
  loop().io().give_back_signals(signals_, newly_blocked_);
}

EventRef SignalSource::parse() {
  // First, for a signal that was read and then not told would be lost.
  auto event = std::make_unique<SignalReceived>(handler_, 0);
  signalfd_siginfo info;
  const ssize_t size = channel_->io().read(channel_->fd(), std::as_writable_bytes(std::span(&info, 1)));
  if (size == -EAGAIN) return nullptr;
  if (size != sizeof info) {
    throw std::system_error(size < 0 ? static_cast<int>(-size) : EIO, std::system_category(), "read a signal");
  }
  event->signal_ = static_cast<int>(info.ssi_signo);
  log_if_possible([&] {
    // That a child has ended is nothing that anybody has asked for.
    loop().log().write(
        event->signal_ == SIGCHLD ? LogLevel::Debug : LogLevel::Info, "signal", "signal received",
        {{"signal", signal_name(event->signal_)}, {"sender_pid", info.ssi_pid}, {"sender_uid", info.ssi_uid}});
  });
  return event;
}

void SignalSource::on_pause_changed() noexcept {
  if (channel_) channel_->watch_read(!paused());
}

std::string SignalSource::name() const { return "signals " + signal_names(signals_); }

}  // namespace snowfox
