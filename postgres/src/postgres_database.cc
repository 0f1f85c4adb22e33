#include <snowfox/postgres/postgres_database.h>

#include <cassert>
#include <optional>
#include <utility>

#include <snowfox/core/audit.h>

#include "alarm.h"
#include "connection_settings.h"
#include "postgres_call.h"
#include "read_lane.h"
#include "write_lane.h"

namespace snowfox {

std::string_view to_string(PostgresState state) noexcept {
  switch (state) {
    case PostgresState::Connecting: return "connecting";
    case PostgresState::Connected: return "connected";
    case PostgresState::Waiting: return "waiting";
    case PostgresState::HeldElsewhere: return "held elsewhere";
    case PostgresState::Refused: return "refused";
    case PostgresState::Closed: return "closed";
  }
  return "?";
}

class PostgresDatabase::Parts final {
 public:
  Parts(LoopManager& loop, PostgresOptions options)
      : loop_(loop),
        options_(std::move(options)),
        settings_(options_.uri, options_.application_name),
        writes_(
            loop, options_, settings_, [this] { on_change(); }, [this] { close_if_idle(); }),
        reads_(loop, options_, settings_, writes_.link(), [this] { close_if_idle(); }) {
    options_.uri.clear();
    writes_.set_others([this] { return reads_.outstanding() == 0; });
    on_explain_ = loop.lifecycle().explain.add([this](Explanation& explanation) {
      writes_.explain(explanation);
      reads_.explain(explanation);
    });
    on_audit_ = loop.lifecycle().audit.add([this](Audit& audit) {
      writes_.audit(audit);
      reads_.audit(audit);
    });
    writes_.link().start();
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  LoopManager& loop() noexcept { return loop_; }
  WriteLane& writes() noexcept { return writes_; }
  ReadLane& reads() noexcept { return reads_; }
  Hook<const PostgresStatus&>& changed() noexcept { return changed_; }

  PostgresStatus status() const {
    const PostgresLink& link = writes_.link();
    return {.state = link.state(),
            .since = link.since(),
            .last_error = link.last_error(),
            .version = link.version(),
            .connects = link.connects(),
            .losses = link.losses(),
            .readers_connected = reads_.connected(),
            .writes = writes_.status(),
            .reads = reads_.status(),
            .pending_bytes = writes_.pending_bytes(),
            .congested = writes_.congested(),
            .commits = writes_.commits(),
            .failed_commits = writes_.failed_commits(),
            .unknown_commits = writes_.unknown_commits(),
            .last_commit = writes_.last_commit()};
  }

  Promise<void> close(Duration within) {
    assert(!resolver_ && !closed_);
    auto [promise, resolver] = make_promise<void>(loop_);
    resolver_.emplace(std::move(resolver));
    writes_.close();
    reads_.close();
    loop_.arm(closing_, within);
    idle_.call();
    return std::move(promise);
  }

 private:
  void on_change() noexcept {
    if (writes_.link().state() == PostgresState::Connected) reads_.start();
    reads_.on_writer_changed();
    if (!changed_.empty()) log_if_possible([&] { changed_(status()); });
  }

  void close_if_idle() noexcept {
    if (resolver_ && !closed_ && writes_.idle() && reads_.idle()) finish_closing();
  }
  void finish_closing() noexcept {
    closed_ = true;
    closing_.disarm();
    writes_.abandon();
    reads_.abandon();
    std::exchange(resolver_, std::nullopt)->resolve();
    on_change();
  }

  LoopManager& loop_;
  PostgresOptions options_;
  const ConnectionSettings settings_;
  Hook<const PostgresStatus&> changed_;
  WriteLane writes_;
  ReadLane reads_;
  Alarm closing_{[this] { finish_closing(); }};
  Later idle_{loop_, [this] { close_if_idle(); }};
  std::optional<Resolver<void>> resolver_;
  bool closed_ = false;
  Hook<Explanation&>::Token on_explain_;
  Hook<Audit&>::Token on_audit_;
};

PostgresDatabase::PostgresDatabase(LoopManager& loop, PostgresOptions options)
    : parts_(std::make_unique<Parts>(loop, std::move(options))) {}

PostgresDatabase::~PostgresDatabase() = default;

Promise<PostgresResults> PostgresDatabase::write(const PostgresCallOptions& options, PostgresUnit unit) {
  auto* state = new ValueState<PostgresResults>(&parts_->loop(), options.id);
  Promise<PostgresResults> promise(state);
  parts_->writes().submit(std::make_unique<PostgresCall>(*state, options, std::move(unit)));
  return promise;
}

Promise<PostgresResult> PostgresDatabase::read_statement(const PostgresCallOptions& options,
                                                         PostgresStatement statement) {
  auto* state = new ValueState<PostgresResult>(&parts_->loop(), options.id);
  Promise<PostgresResult> promise(state);
  PostgresUnit unit;
  unit.add(std::move(statement));
  parts_->reads().submit(std::make_unique<PostgresCall>(*state, options, std::move(unit)));
  return promise;
}

Promise<void> PostgresDatabase::close(Duration within) { return parts_->close(within); }

EventDrain& PostgresDatabase::backlog() noexcept { return parts_->writes(); }
PostgresStatus PostgresDatabase::status() const { return parts_->status(); }
bool PostgresDatabase::connected() const noexcept { return parts_->writes().link().ready(); }
Hook<const PostgresStatus&>& PostgresDatabase::changed() noexcept { return parts_->changed(); }
Hook<const PostgresCommit&>& PostgresDatabase::committed() noexcept { return parts_->writes().committed(); }

}  // namespace snowfox
