#include <snowfox/promises/promise_keeper.h>

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <new>

#include <snowfox/core/fault_point.h>
#include <snowfox/promises/sleep.h>

#include "promise_name.h"

namespace snowfox {
namespace {

/// From here on, some milliseconds more or less do not matter, and the coarse clock costs a quarter of the exact one.
constexpr Duration kCoarseFrom = std::chrono::seconds(1);

std::string type_name(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> readable_name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
  return status == 0 ? readable_name.get() : type.name();
}

}  // namespace

PromiseKeeper::Kept::Kept(PromiseKeeper& keeper, PromiseState& state, const std::type_info& type,
                          TimePoint since) noexcept
    : keeper_(keeper), type_(type), since_(since) {
  state_ = &state;
  state.set_producer(this);
}

void PromiseKeeper::Kept::expire() noexcept { keeper_.time_out(*this); }

void PromiseKeeper::Kept::on_abandoned(const CorrelationId&) noexcept {
  ++keeper_.counters_.dropped;
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
  loop_.arm(*kept, deadline_after(exact ? now : now + coarse_lag_, deadline));
}

PromiseKeeper::Kept* PromiseKeeper::expect(const CorrelationId& id, const std::type_info& type) {
  Kept* kept = kept_.find(id);
  if (kept == nullptr) {
    ++counters_.orphans;
    return nullptr;
  }
  if (SNOWFOX_MUTANT(WrongAnswer)) {
    kept_.for_each([&](const CorrelationId&, Kept& other) {
      if (other.type() == type) kept = &other;
    });
  }
  if (kept->type() != type) {
    throw std::system_error(
        make_error_code(Errc::TypeMismatch),
        promise_name(id) + " waits for " + type_name(kept->type()) + ", not for " + type_name(type));
  }
  return kept;
}

void PromiseKeeper::settle(Kept& kept, std::uint64_t& counter) noexcept {
  PromiseState& state = kept.state();
  ++counter;
  state.set_producer(nullptr);
  kept_.erase(kept);
  state.notify();
}

bool PromiseKeeper::reject(const CorrelationId& id, std::exception_ptr error) {
  Kept* kept = kept_.find(id);
  if (kept == nullptr) {
    ++counters_.orphans;
    return false;
  }
  kept->state().store_error(std::move(error));
  settle(*kept, counters_.rejected);
  return true;
}

bool PromiseKeeper::reject(const CorrelationId& id, std::error_code error) {
  return reject(id, make_error(error, [&] { return promise_name(id); }));
}

void PromiseKeeper::reject_all(std::error_code error) noexcept {
  kept_.for_each([&](const CorrelationId& id, Kept& kept) {
    kept.state().store_error(make_error(error, [&] { return promise_name(id); }));
    settle(kept, counters_.rejected);
  });
}

void PromiseKeeper::time_out(Kept& kept) noexcept {
  PromiseState& state = kept.state();
  Duration within = kept.deadline() - kept.since();
  if (within >= kCoarseFrom + coarse_lag_) within -= coarse_lag_;
  state.store_error(deadline_exceeded(state.id(), within));
  settle(kept, counters_.timed_out);
}

void PromiseKeeper::for_each(const std::function<void(const KeptPromise&)>& function) const {
  kept_.for_each([&](const CorrelationId& id, const Kept& kept) {
    function({id, type_name(kept.type()), kept.since(), kept.armed() ? kept.deadline() : kNever});
  });
}

}  // namespace snowfox
