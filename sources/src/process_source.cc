#include <snowfox/sources/process_source.h>

#include <cassert>
#include <cerrno>
#include <csignal>
#include <system_error>

#include <snowfox/core/loop_manager.h>
#include <snowfox/core/signal_name.h>
#include <snowfox/sources/child_io.h>

namespace snowfox {
namespace {

constexpr int kDeathTimeoutMilliseconds = 1000;

}  // namespace

std::string ProcessExit::str() const {
  if (code) return "exit code " + std::to_string(*code);
  if (!signal) return "unknown";
  return "killed by " + signal_name(*signal) + (core_dumped ? ", core dumped" : "");
}

ProcessSource::ProcessSource(LoopManager& loop, const ProcessOptions& options, Handler on_exit)
    : EventSource(loop),
      children_(loop.io().children() != nullptr ? *loop.io().children() : ChildIo::system()),
      handler_(std::make_shared<const Handler>(std::move(on_exit))),
      program_(program_of(options)),
      own_group_(options.process_group != ProcessGroup::Same),
      leave_running_(options.leave_running),
      end_group_(options.end_group) {
  LaunchedProcess launched = children_.launch(options);
  pid_ = launched.pid;
  input_ = std::move(launched.input);
  output_ = std::move(launched.output);
  error_ = std::move(launched.error);
  try {
    channel_ = Channel::make(loop, std::move(launched.pidfd));
    channel_->set_source(this);
    if (!channel_->watch_read(true)) throw std::system_error(EIO, std::system_category(), "watch a process");
  } catch (...) {
    // Nobody else knows of the child, and its pid is its own until it is waited for.
    const int pidfd = channel_ ? channel_->fd() : launched.pidfd.get();
    children_.signal(pidfd, SIGKILL);
    children_.ended(pidfd, kDeathTimeoutMilliseconds);
    children_.reap(pidfd, pid_);
    throw;
  }
}

ProcessSource::~ProcessSource() {
  if (!running() || children_.reap(pidfd(), pid_) || leave_running_) return;
  kill_and_reap();
}

void ProcessSource::kill_and_reap() noexcept {
  if (own_group_) children_.signal_group(pid_, SIGKILL);
  children_.signal(pidfd(), SIGKILL);
  children_.ended(pidfd(), kDeathTimeoutMilliseconds);
  if (!children_.reap(pidfd(), pid_)) {
    loop().log().warning("process", "a killed child does not end", {{"program", program_}, {"pid", pid_}});
  }
}

bool ProcessSource::signal(int signal) {
  if (!running() || children_.ended(pidfd(), 0)) return false;
  const int error = children_.signal(pidfd(), signal);
  if (error == 0 || error == ESRCH) return error == 0;
  throw std::system_error(error, std::system_category(), "signal " + name());
}

bool ProcessSource::signal_group(int signal) {
  assert(own_group_);
  if (!running()) return false;
  const int error = children_.signal_group(pid_, signal);
  if (error == 0 || error == ESRCH) return error == 0;
  throw std::system_error(error, std::system_category(), "signal the group of " + name());
}

EventRef ProcessSource::parse() {
  // First, for how a child has ended can be learnt but once.
  auto event = std::make_unique<ProcessExited>(handler_, ProcessExit{});
  // As long as the child is not reaped, its number is its group's and nobody else's.
  if (end_group_ && children_.ended(pidfd(), 0)) children_.signal_group(pid_, SIGKILL);
  const auto exit = children_.reap(pidfd(), pid_);
  if (!exit) return nullptr;
  event->exit_ = *exit;
  if (!exit->code && !exit->signal) {
    loop().log().error("process", "somebody else has waited for a child", {{"program", program_}, {"pid", pid_}});
  }
  channel_.reset();
  loop().remove(id());
  return event;
}

void ProcessSource::on_pause_changed() noexcept {
  if (channel_) channel_->watch_read(!paused());
}

void ProcessSource::on_removed() noexcept {
  if (!channel_) return;
  pidfd_ = channel_->release();
  channel_.reset();
}

std::string ProcessSource::name() const { return "process " + std::to_string(pid_) + " " + program_; }

}  // namespace snowfox
