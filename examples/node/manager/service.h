#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>
#include <snowfox/promises/promise.h>

#include "common/backoff.h"
#include "manager/configuration.h"
#include "manager/service_output.h"
#include "manager/spawner_link.h"
#include "protocol/manager_state.pb.h"
#include "protocol/public_api.pb.h"

namespace snowfox::node {

/// A service: what is wanted of it, what its process does, and what follows from both.
///
/// It knows its process by what the spawner says, which may die and come again: take_up() tells what there is. All it
/// does it does through the spawner; what cannot be done because that is not there is done when it is.
class Service {
 public:
  using State = public_api::Service::State;  // its values are public_api::Service::Running, …
  using Process = manager_spawner::Process;
  /// What is shown of it has changed. Must not destroy it.
  using OnChanged = std::function<void(Service&)>;

  /// So many may wait for it to start or to stop.
  static constexpr std::size_t kMostWaiting = 1000;

  /// `pipe` is where its output is to go. All must outlive it.
  Service(LoopManager& loop, SpawnerLink& spawner, ServiceConfiguration configuration, std::string pipe,
          OnChanged on_changed);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  const std::string& id() const noexcept { return *configuration_.id; }
  const ServiceConfiguration& configuration() const noexcept { return configuration_; }
  State state() const noexcept { return state_; }
  bool has_process() const noexcept { return process_.pid() != 0; }
  bool wanted() const noexcept { return wanted_; }
  std::uint64_t restarts() const noexcept { return restarts_; }
  public_api::Service describe() const;

  // `origin` is the request because of which something is done; empty if there is none. All that is logged of it and
  // all that the spawner is asked for has this id, from then on until the process that it concerns has ended; what the
  // restart policy does after that is nobody's request.

  /// As from now on configured: a process that is another's is exchanged for one that is this one's.
  void configure(ServiceConfiguration configuration, const CorrelationId& origin) noexcept;
  /// To run; settled when it does, rejected if it cannot be started or is stopped meanwhile.
  Promise<void> start(const CorrelationId& origin);
  /// Not to run; settled when it does not.
  Promise<void> stop(const CorrelationId& origin);
  /// stop(), then start(), whatever the restart policy says.
  Promise<void> restart(const CorrelationId& origin);
  /// As stop(), but if it is not gone within `patience` it is killed, however long it may have otherwise.
  Promise<void> stop_within(Duration patience, const CorrelationId& origin);

  /// What there is of it, as the spawner says: null if there is nothing.
  void take_up(const Process* process);
  /// Its process has ended, as the spawner says. One that it does not have is ignored.
  void exited(const Process& process);
  /// The spawner is gone: what it was asked is lost.
  void spawner_gone() noexcept { ++attempt_; }

  /// Nobody will write to its output any more.
  void remove_pipe() noexcept;
  /// All that it wrote has been read.
  bool output_read() const noexcept { return !output_ || output_->empty(); }

  /// What another manager is to know of it.
  void save(manager_state::Service& state) const;
  /// Goes on as another manager has left it; without a `state` as it is to begin, because of `origin`. Before anything
  /// else.
  void restore(const manager_state::Service* state, const CorrelationId& origin);

 private:
  enum class Until : std::uint8_t { Up, Down };
  struct Waiting {
    Until until;
    Resolver<void> resolver;
  };
  struct Alarm final : Timer {
    explicit Alarm(Service& whose) : service(whose) {}
    void expire() noexcept override;
    Service& service;
  };

  void begin_anew_for(const CorrelationId& origin);
  void enter(State state, std::string reason = {});
  void launch();
  void launched(const Process& process);
  void launch_failed(const std::string& reason);
  void begin_to_stop();
  void send_signal(int signal);
  void kill();
  void gone(bool success);
  void failed(const std::string& reason);
  void start_later();
  void time_is_up();
  Promise<void> wait_for(Until until);
  void settle(Until until, const std::exception_ptr& error = nullptr);
  Status status() const;
  manager_spawner::StartProcess request() const;

  LoopManager& loop_;
  SpawnerLink& spawner_;
  ServiceConfiguration configuration_;
  std::string pipe_;
  OnChanged on_changed_;
  std::unique_ptr<ServiceOutput> output_;
  Backoff backoff_;
  State state_ = public_api::Service::Stopped;
  std::string reason_;  // of the state, if there is more to say
  TimePoint since_{};
  CorrelationId origin_;  // the request because of which it is in that state
  bool wanted_ = false;
  bool start_anew_ = false;  // once it has stopped
  bool killed_ = false;      // it had its time to stop
  Process process_;          // the pid is 0: it has none
  Process ended_;            // the one before: its pid and its start; its end may be told again
  TimePoint running_since_{};
  std::uint64_t restarts_ = 0;
  std::string last_exit_;
  Duration patience_{};        // to stop within
  std::uint64_t attempt_ = 0;  // what was asked before this one is of no interest any more
  std::vector<Waiting> waiting_;
  Alarm alarm_{*this};
};

}  // namespace snowfox::node
