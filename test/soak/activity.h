#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>
#include <snowfox/promises/task.h>

namespace snowfox::soak {

/// What was done how often, and what went wrong.
class Tally {
 public:
  void done(const std::string& what, std::uint64_t times = 1) { done_[what] += times; }
  void failed(std::string_view what, std::string_view why) {
    ++failures_;
    if (errors_.size() < kErrorsTold) errors_.push_back(std::string(what) + ": " + std::string(why));
  }
  const std::map<std::string, std::uint64_t>& all_done() const noexcept { return done_; }
  std::uint64_t failures() const noexcept { return failures_; }
  /// The first of them.
  const std::vector<std::string>& errors() const noexcept { return errors_; }

 private:
  static constexpr std::size_t kErrorsTold = 20;
  std::map<std::string, std::uint64_t> done_;
  std::uint64_t failures_ = 0;
  std::vector<std::string> errors_;
};

/// Something that goes on and on, as several tasks of one loop, until it is to finish.
class Activity {
 public:
  /// Both must outlive it.
  Activity(LoopManager& loop, Tally& tally) : loop_(loop), tally_(tally) {}
  virtual ~Activity() = default;
  Activity(const Activity&) = delete;
  Activity& operator=(const Activity&) = delete;

  /// Nothing more is begun. done() once all that was is over.
  void finish() noexcept { finishing_ = true; }
  bool done() const noexcept { return active_ == 0; }

 protected:
  LoopManager& loop() const noexcept { return loop_; }
  Tally& tally() const noexcept { return tally_; }
  bool finishing() const noexcept { return finishing_; }
  /// What the task throws is a failure. The last member of who derives must be what the tasks use least.
  void run(std::string what, Task<> task) {
    ++active_;
    running_.push_back(std::move(task)
                           .promise(loop_)
                           .otherwise([this, what = std::move(what)](const std::exception_ptr& error) {
                             tally_.failed(what, describe(error));
                           })
                           .finally([this] { --active_; }));
  }
  /// Ends all tasks where they are: to be called before what they use goes.
  void drop_tasks() noexcept { running_.clear(); }

 private:
  LoopManager& loop_;
  Tally& tally_;
  std::list<Promise<void>> running_;
  std::size_t active_ = 0;
  bool finishing_ = false;
};

}  // namespace snowfox::soak
