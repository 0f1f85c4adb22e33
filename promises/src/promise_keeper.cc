#include <snowfox/promises/promise_keeper.h>

#include <memory>
#include <new>

#include <snowfox/core/explanation.h>
#include <snowfox/core/fault_point.h>
#include <snowfox/core/type_name.h>
#include <snowfox/promises/sleep.h>

#include "promise_name.h"

namespace snowfox {

PromiseKeeper::Kept::Kept(PromiseKeeper& keeper, PromiseState& state, const std::type_info& type,
                          TimePoint since) noexcept
    : keeper_(keeper), type_(type), since_(since) {
  state_ = &state;
  state.set_producer(this);
}

void PromiseKeeper::Kept::expire() noexcept { keeper_.time_out(*this); }

void PromiseKeeper::Kept::on_abandoned(const CorrelationId& id) noexcept {
  ++keeper_.counters_.dropped;
  keeper_.tell(id, StepKind::Abandoned, &type_);
  keeper_.kept_.erase(*this);
}

PromiseKeeper::PromiseKeeper(LoopManager& loop, PromiseKeeperOptions options)
    : loop_(loop),
      options_(options),
      coarse_lag_(loop.poller().coarse_lag()),
      on_exit_(loop.lifecycle().process_exit.add([this](LoopManager&, int) { reject_all(); })),
      on_audit_(loop.lifecycle().audit.add([this](Audit& audit) {
        const PromiseKeeperCounters& n = counters_;
        const std::uint64_t ended = n.fulfilled + n.rejected + n.timed_out + n.dropped;
        audit.expect(n.kept == ended + kept_.size(), [&] {
          return "a keeper has taken " + std::to_string(n.kept) + " promises; " + std::to_string(ended) +
                 " have ended and it has " + std::to_string(kept_.size());
        });
      })),
      on_explain_(loop.lifecycle().explain.add([this](Explanation& explanation) {
        const auto add = [&](const CorrelationId& id, const Kept& kept) {
          explanation.add({id, type_name(kept.type()), kept.since(), kept.armed() ? kept.deadline() : kNever});
        };
        explanation.add_orphans(counters_.orphans);
        if (explanation.id().empty()) {
          kept_.for_each(add);
        } else if (const Kept* kept = kept_.find(explanation.id())) {
          add(explanation.id(), *kept);
        }
      })) {}

PromiseKeeper::~PromiseKeeper() { reject_all(); }

void PromiseKeeper::add(PromiseState& state, const std::type_info& type, Duration deadline) {
  const CorrelationId& id = state.id();
  if (id.empty()) {
    throw std::system_error(std::make_error_code(std::errc::invalid_argument), "keep a promise without an id");
  }
  if (kept_.size() >= options_.max_kept && kept_.find(id) == nullptr) {
    throw std::system_error(make_error_code(Errc::LimitReached), "keep " + promise_name(id));
  }
  if (SNOWFOX_FAULT(KeeperKeep)) throw std::bad_alloc();
  const bool exact = deadline < kCoarseFrom;
  const TimePoint now = exact ? loop_.now() : loop_.poller().coarse_now();
  Kept* kept = kept_.insert(id, *this, state, type, now);
  if (kept == nullptr) throw std::system_error(make_error_code(Errc::DuplicateId), "keep " + promise_name(id));
  ++counters_.kept;
  tell(id, StepKind::Kept, &type);
  loop_.arm(*kept, deadline_after(exact ? now : now + coarse_lag_, deadline));
}

PromiseKeeper::Kept* PromiseKeeper::expect(const CorrelationId& id, const std::type_info& type) {
  Kept* kept = kept_.find(id);
  if (kept == nullptr) {
    ++counters_.orphans;
    tell(id, StepKind::Orphaned);
    return nullptr;
  }
  if (SNOWFOX_MUTANT(WrongAnswer)) {
    kept_.for_each([&](const CorrelationId&, Kept& other) {
      if (other.type() == type) kept = &other;
    });
  }
  if (kept->type() != type) {
    throw std::system_error(make_error_code(Errc::TypeMismatch), promise_name(id) + " waits for " +
                                                                     std::string(type_name(kept->type())) +
                                                                     ", not for " + std::string(type_name(type)));
  }
  return kept;
}

void PromiseKeeper::settle(Kept& kept, std::uint64_t& counter, StepKind kind) noexcept {
  PromiseState& state = kept.state();
  ++counter;
  tell(state.id(), kind, &kept.type());
  state.set_producer(nullptr);
  kept_.erase(kept);
  state.notify();
}

void PromiseKeeper::tell(const CorrelationId& id, StepKind kind, const std::type_info* type) noexcept {
  if (loop_.lifecycle().step.empty()) return;
  loop_.lifecycle().step({.id = id, .kind = kind, .what = type == nullptr ? std::string_view{} : type_name(*type)});
}

bool PromiseKeeper::reject(const CorrelationId& id, std::exception_ptr error) {
  Kept* kept = kept_.find(id);
  if (kept == nullptr) {
    ++counters_.orphans;
    tell(id, StepKind::Orphaned);
    return false;
  }
  kept->state().store_error(std::move(error));
  settle(*kept, counters_.rejected, StepKind::Rejected);
  return true;
}

bool PromiseKeeper::reject(const CorrelationId& id, std::error_code error) {
  return reject(id, make_error(error, [&] { return promise_name(id); }));
}

void PromiseKeeper::reject_all(std::error_code error) noexcept {
  kept_.for_each([&](const CorrelationId& id, Kept& kept) {
    kept.state().store_error(make_error(error, [&] { return promise_name(id); }));
    settle(kept, counters_.rejected, StepKind::Rejected);
  });
}

void PromiseKeeper::time_out(Kept& kept) noexcept {
  PromiseState& state = kept.state();
  Duration within = kept.deadline() - kept.since();
  if (within >= kCoarseFrom + coarse_lag_) within -= coarse_lag_;
  state.store_error(deadline_exceeded(state.id(), within));
  settle(kept, counters_.timed_out, StepKind::TimedOut);
}

void PromiseKeeper::for_each(const std::function<void(const KeptPromise&)>& function) const {
  kept_.for_each([&](const CorrelationId& id, const Kept& kept) {
    function({id, std::string(type_name(kept.type())), kept.since(), kept.armed() ? kept.deadline() : kNever});
  });
}

}  // namespace snowfox
