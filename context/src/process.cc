#include <snowfox/context/process.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>

#include <snowfox/context/drop_privileges.h>
#include <snowfox/core/error.h>

namespace snowfox {
namespace {

constexpr std::string_view kComponent = "process";
constexpr int kEndedBySigint = 128 + SIGINT;  // as a shell tells it

/// Takes the variables out of the environment, whether they are heeded or not.
Notifier notifier_for(const ProcessSettings& settings) {
  Notifier notifier = Notifier::from_environment();
  return settings.notify ? notifier : Notifier();
}

}  // namespace

/// What a program needs that has no loop of its own.
struct Process::OwnLoop {
  explicit OwnLoop(const ProcessSettings& settings)
      : sink(STDERR_FILENO, settings.log_format),
        log(sink, settings.log_level),
        loop(std::make_unique<UvPoller>(), Io::system(), log, settings.loop) {}

  DescriptorLogSink sink;
  Log log;
  LoopManager loop;
};

/// Calls a function of the process when the last copy of a Completion is gone.
struct Process::Completion::Pending {
  Pending(Process& of, void (Process::*call)() noexcept) : process(&of), function(call) {}
  ~Pending() {
    if (process != nullptr) (process->*function)();
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  Process* process;  // null when that is gone
  void (Process::*function)() noexcept;
};

Process::IgnoreBrokenPipes::IgnoreBrokenPipes() noexcept {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &before);
}

Process::IgnoreBrokenPipes::~IgnoreBrokenPipes() { ::sigaction(SIGPIPE, &before, nullptr); }

Process::Process(ProcessSettings settings) : Process(std::move(settings), nullptr) {}

Process::Process(ProcessSettings settings, LoopManager& loop) : Process(std::move(settings), &loop) {}

Process::Process(ProcessSettings settings, LoopManager* loop)
    : settings_(std::move(settings)),
      own_loop_(loop != nullptr ? nullptr : std::make_unique<OwnLoop>(settings_)),
      loop_(loop != nullptr ? *loop : own_loop_->loop),
      notifier_(loop_, notifier_for(settings_)),
      scope_(loop_, settings_.promises),
      signals_(loop_, {SIGTERM, SIGINT, SIGHUP}, [this](int signal) { on_signal(signal); }),
      on_exit_(loop_.lifecycle().process_exit.add([this](LoopManager&, int) {
        if (started_ && !scope_.stopping()) notifier_.stopping();
      })) {
  shutdown_ = std::make_shared<Completion::Pending>(*this, &Process::finish);
  shutting_down_ = shutdown_;
  if (settings_.umask) ::umask(*settings_.umask);
  if (own_loop_) scope_.set_log_sink(own_loop_->sink, settings_.log_format);
  if (!settings_.pid_file.empty()) pid_file_ = std::make_unique<PidFile>(settings_.pid_file);
  scope_.set_inherited(InheritedListeners::from_environment());
}

Process::~Process() {
  for (const auto& weak : {reload_, shutting_down_}) {
    if (const auto pending = weak.lock()) pending->process = nullptr;
  }
}

void Process::drop_privileges() {
  if (std::exchange(dropped_, true)) return;
  snowfox::drop_privileges(settings_.user, settings_.group);
}

void Process::start() {
  if (std::exchange(started_, true)) return;
  drop_privileges();
  scope_.inherited().report_unused(scope_.log());
  if (notifier_.connected() && notifier_.watchdog() > Duration::zero()) {
    notifier_.alive();
    scope_.scheduler().every(std::max(notifier_.watchdog() / 2, Duration(1)), [this] { notifier_.alive(); });
  }
  settings_.detached ? notifier_.ready_as(::getpid()) : notifier_.ready();
  scope_.log().info(kComponent, "ready", {{"name", settings_.name}, {"pid", std::int64_t{::getpid()}}});
}

int Process::run() {
  start();
  const int exit_code = finished_ ? 0 : loop_.run();
  scope_.log().info(kComponent, "ended", {{"name", settings_.name}, {"pid", std::int64_t{::getpid()}}});
  return interrupted_ ? kEndedBySigint : exit_code;
}

void Process::on_signal(int signal) {
  if (signal == SIGHUP) {
    reload();
  } else if (signal == SIGINT && stopping()) {
    interrupted_ = true;
    throw AbortError("interrupted again");
  } else {
    shutdown();
  }
}

void Process::reload() {
  if (stopping()) return;
  if (!on_reload_) {
    scope_.log().info(kComponent, "nothing to reload");
    return;
  }
  if (!reload_.expired()) {
    reload_again_ = true;
    return;
  }
  reload_again_ = false;
  auto pending = std::make_shared<Completion::Pending>(*this, &Process::reload_ended);
  notifier_.reloading();
  reload_ = pending;
  on_reload_(Completion(std::move(pending)));
}

void Process::reload_ended() noexcept {
  if (stopping()) return;
  notifier_.ready();
  // As an event of its own, whose errors the loop knows what to do with.
  try {
    if (reload_again_) scope_.scheduler().after(Duration::zero(), [this] { reload(); });
  } catch (const std::bad_alloc&) {
    reload_again_ = false;
    scope_.log().error(kComponent, "no memory to reload again");
  }
}

void Process::shutdown() {
  if (stopping()) return;
  notifier_.stopping();
  scope_.log().info(kComponent, "ending", {{"name", settings_.name}});
  scope_.announce_stopping();
  auto pending = std::exchange(shutdown_, nullptr);
  loop_.arm(time_is_up_, settings_.shutdown_timeout);
  if (on_shutdown_) on_shutdown_(Completion(std::move(pending)));
}

void Process::TimeIsUp::expire() noexcept {
  if (process.finished_) return;
  process.scope_.log().warning(kComponent, "ended with work that was not over in time");
  process.finish();
}

void Process::finish() noexcept {
  finished_ = true;
  loop_.stop();
}

}  // namespace snowfox
