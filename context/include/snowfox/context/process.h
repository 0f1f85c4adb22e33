#pragma once

#include <sys/types.h>

#include <chrono>
#include <concepts>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <snowfox/context/pid_file.h>
#include <snowfox/context/service_notifier.h>
#include <snowfox/context/static_scope.h>
#include <snowfox/core/log.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/signal_source.h>

namespace snowfox {

struct ProcessSettings {
  std::string name{};      ///< what the log calls the program
  std::string pid_file{};  ///< empty: none
  std::string user{};      ///< to run as, a name or a number; empty: as it was started
  std::string group{};     ///< empty: that of `user`
  /// Whether a service manager that asks for it (NOTIFY_SOCKET) is told how the process is.
  bool notify = true;
  /// Whether this is not the process that was started but one that it has left behind, as daemons in the background
  /// are: the service manager is then told which one to watch.
  bool detached = false;
  /// After SIGTERM: so long on_shutdown() may take. Then drains have LoopOptions::flush_timeout.
  Duration shutdown_timeout = std::chrono::seconds(10);
  std::optional<mode_t> umask{};  ///< unset: as it was started
  LogLevel log_level = LogLevel::Info;
  LogFormat log_format = LogFormat::Text;
  LoopOptions loop{};
  PromiseKeeperOptions promises{};
};

/// The running process of a daemon: how it starts, what it does on signals, how it ends.
///
///     Process process({.name = "echod", .pid_file = "/run/echod.pid", .user = "echo"});
///     Reload<Settings> settings(process.scope(), …);
///     settings.reload().check();
///     process.on_reload([&] { settings.reload(); });
///     return process.run();
///
/// SIGTERM and SIGINT end it in order: the service manager is told, the listeners of the dynamic scope close,
/// on_shutdown() ends what is under way, the loop flushes its drains. SIGINT while it is ending ends it at once. SIGHUP
/// calls on_reload(). SIGPIPE is ignored.
class Process {
 public:
  /// With a loop of its own. To be made before any thread is started, so that all block the signals. Takes the umask,
  /// the pid file, and the inherited sockets into scope().inherited(). Throws std::system_error.
  explicit Process(ProcessSettings settings = {});
  /// For the loop of a program that embeds SnowFox, whose log and loop options are left as they are. Call start(), then
  /// LoopManager::attach(). `loop` must outlive it.
  Process(ProcessSettings settings, LoopManager& loop);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  StaticScope& scope() noexcept { return scope_; }
  LoopManager& loop() noexcept { return loop_; }
  const ProcessSettings& settings() const noexcept { return settings_; }

  /// Stands for something that a handler has begun; it is over when the last copy is gone or done. May outlive the
  /// Process. For the loop's thread.
  class Completion {
   public:
    /// This copy waits for nothing any more.
    void done() noexcept { pending_.reset(); }

   private:
    friend class Process;
    struct Pending;
    explicit Completion(std::shared_ptr<Pending> pending) noexcept : pending_(std::move(pending)) {}
    std::shared_ptr<Pending> pending_;
  };
  /// Works on after it has returned if it keeps its argument.
  using Handler = std::function<void(Completion)>;

  /// Called on SIGHUP. One that comes while a reload is under way makes another one follow; without a handler nothing
  /// is reloaded.
  void on_reload(Handler handler) { on_reload_ = std::move(handler); }
  /// Called once, when the process is asked to end.
  void on_shutdown(Handler handler) { on_shutdown_ = std::move(handler); }
  template <std::invocable F>
  void on_reload(F handler) {
    on_reload(Handler([handler = std::move(handler)](const Completion&) mutable { handler(); }));
  }
  template <std::invocable F>
  void on_shutdown(F handler) {
    on_shutdown(Handler([handler = std::move(handler)](const Completion&) mutable { handler(); }));
  }

  /// Becomes the user and group of the settings. start() does so if it was not done before; a program that needs no
  /// root for its configuration and its ports does it at once. Throws as snowfox::drop_privileges.
  void drop_privileges();
  /// Set-up is over: drops privileges, tells the service manager that the process is ready, begins with signs of life.
  void start();
  /// start(), runs the loop, and gives the exit code for main(): the loop's, or 130 if SIGINT ended it at once.
  int run();

  /// As SIGTERM does.
  void shutdown();
  /// As SIGHUP does.
  void reload();
  /// Was asked to end.
  bool stopping() const noexcept { return scope_.stopping(); }
  /// What the service manager shows people (`systemctl status`).
  void status(std::string_view text) noexcept { notifier_.status(text); }

 private:
  struct OwnLoop;
  struct IgnoreBrokenPipes {
    IgnoreBrokenPipes() noexcept;
    ~IgnoreBrokenPipes();
    struct sigaction before {};
  };

  Process(ProcessSettings settings, LoopManager* loop);
  struct TimeIsUp final : Timer {
    explicit TimeIsUp(Process& ending) noexcept : process(ending) {}
    void expire() noexcept override;
    Process& process;
  };
  void on_signal(int signal);
  void reload_ended() noexcept;
  void finish() noexcept;

  ProcessSettings settings_;
  IgnoreBrokenPipes ignore_broken_pipes_;
  std::unique_ptr<OwnLoop> own_loop_;  // null if embedded
  LoopManager& loop_;
  std::unique_ptr<PidFile> pid_file_;
  ServiceNotifier notifier_;
  Handler on_reload_;
  Handler on_shutdown_;
  StaticScope scope_;
  SignalSource signals_;
  Hook<LoopManager&, int>::Token on_exit_;
  std::weak_ptr<Completion::Pending> reload_;
  // To end needs no memory.
  std::shared_ptr<Completion::Pending> shutdown_;  // null once begun
  std::weak_ptr<Completion::Pending> shutting_down_;
  TimeIsUp time_is_up_{*this};
  bool reload_again_ = false;
  bool dropped_ = false;
  bool started_ = false;
  bool finished_ = false;
  bool interrupted_ = false;  // by a second SIGINT
};

}  // namespace snowfox
