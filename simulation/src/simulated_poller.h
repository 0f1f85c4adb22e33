#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include <snowfox/core/poller.h>
#include <snowfox/simulation/process.h>

namespace snowfox::simulation {

/// Says what is ready in the simulated world, in an order drawn from the seed, and what time it is there.
class SimulatedPoller final : public Poller {
 public:
  explicit SimulatedPoller(Process::State& process) : process_(process) {}
  ~SimulatedPoller() override;

  void watch(PollTarget& target) override;
  void set_interest(PollTarget& target, bool readable, bool writable) override;
  void unwatch(PollTarget& target) noexcept override;
  void wait(TimePoint until) override;
  TimePoint now() const noexcept override;
  std::chrono::system_clock::time_point wall_now() const noexcept override;
  void wake() noexcept override { woken_ = true; }
  void submit(Work& work) override;
  void drive(Turn turn) override;
  void set_active(bool active) noexcept override { active_ = active; }

  /// The loop has given itself into the world's hands, and has not ended.
  bool driven() const noexcept { return turn_ != nullptr; }
  bool active() const noexcept { return active_; }
  /// There is something to tell, or the time that was waited for has come.
  bool due() const noexcept;
  /// When it will be, if nothing happens before.
  TimePoint until() const noexcept { return until_; }
  /// Tells what there is, and lets the loop have its turn.
  void turn();
  bool watches(int fd) const noexcept;

 private:
  struct Watch {
    PollTarget* target;
    bool readable = false;
    bool writable = false;
  };
  struct Readiness {
    bool readable;
    bool writable;
  };
  struct Job;

  Readiness readiness(const Watch& watch) const noexcept;
  void run(Work& work);
  void tell();
  void tell_finished();

  Process::State& process_;
  std::map<std::uint64_t, Watch> watches_;               // in the order they began
  std::map<const PollTarget*, std::uint64_t> watch_of_;  // only to be looked up: where they lie is chance
  std::uint64_t last_watch_ = 0;
  std::vector<Work*> finished_;
  std::map<std::uint64_t, Work*> jobs_;
  std::uint64_t last_job_ = 0;
  std::shared_ptr<Turn> turn_;
  TimePoint until_ = TimePoint::min();
  bool woken_ = false;
  bool active_ = false;
};

}  // namespace snowfox::simulation
