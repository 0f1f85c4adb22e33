#include <snowfox/sqlite/sqlite_database.h>

#include <cassert>
#include <optional>
#include <utility>
#include <vector>

#include <snowfox/core/audit.h>
#include <snowfox/core/error.h>
#include <snowfox/core/timer.h>

#include "group_writer.h"
#include "migrations.h"
#include "read_lane.h"
#include "results.h"
#include "write_lane.h"

namespace snowfox {
namespace {

/// Closes the connections on another thread: the log is moved into the file, which may take long. It owns itself.
class Closing final : public Work {
 public:
  Closing(LoopManager& loop, std::unique_ptr<GroupWriter> writer, std::vector<std::unique_ptr<SqliteReader>> readers,
          Resolver<void> resolver)
      : loop_(loop), writer_(std::move(writer)), readers_(std::move(readers)), resolver_(std::move(resolver)) {
    loop_.hold();
  }
  ~Closing() override { loop_.release(); }

  void run() noexcept override {
    readers_.clear();
    try {
      writer_->connection().execute("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (...) {
      // Another process reads still: the log is kept for the next one who opens the file.
    }
    writer_.reset();
  }
  void done() noexcept override {
    resolver_.resolve();
    delete this;
  }

 private:
  LoopManager& loop_;
  std::unique_ptr<GroupWriter> writer_;
  std::vector<std::unique_ptr<SqliteReader>> readers_;
  Resolver<void> resolver_;
};

}  // namespace

class SqliteDatabase::Parts final : private Timer {
 public:
  Parts(LoopManager& loop, const SqliteOptions& options)
      : loop_(loop), path_(options.path), results_(loop, "sqlite " + path_, [this] { writes_->on_all_given(); }) {
    auto writer = std::make_unique<GroupWriter>(options);
    version_ = Migrations(writer->connection()).run();
    reads_.emplace(loop, writer->options(), results_, [this] { close_if_idle(); });
    writes_.emplace(loop, std::move(writer), results_, [this] { close_if_idle(); });
    writes_->set_others([this] { return reads_->outstanding() == 0; });
    on_explain_ = loop.lifecycle().explain.add([this](Explanation& explanation) {
      CallList none;
      writes_->explain(explanation, closed_ ? none : writes_->group());
      reads_->explain(explanation, reads_->under_way());
    });
    on_audit_ = loop.lifecycle().audit.add([this](Audit& audit) {
      writes_->audit(audit);
      reads_->audit(audit);
    });
  }
  // What has been committed is told as such.
  ~Parts() { results_.give_all(); }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  SqliteWriteLane& writes() noexcept { return *writes_; }
  SqliteReadLane& reads() noexcept { return *reads_; }
  const std::string& path() const noexcept { return path_; }
  std::uint32_t version() const noexcept { return version_; }

  SqliteStatus status() noexcept {
    return {.writes = writes_->status(),
            .reads = reads_->status(reads_->under_way()),
            .pending_bytes = writes_->pending_bytes(),
            .congested = writes_->congested(),
            .commits = writes_->commits(),
            .failed_commits = writes_->failed_commits(),
            .last_commit = writes_->last_commit()};
  }

  Promise<void> close(Duration within) {
    assert(!resolver_ && !closed_);
    auto [promise, resolver] = make_promise<void>(loop_);
    resolver_.emplace(std::move(resolver));
    writes_->close();
    reads_->close();
    loop_.arm(*this, within);
    close_if_idle();
    return std::move(promise);
  }

 private:
  void expire() noexcept override {
    writes_->reject_waiting();
    reads_->reject_waiting();
    reads_->interrupt_all();
    close_if_idle();
  }

  void close_if_idle() noexcept {
    if (!resolver_ || closed_ || !writes_->idle() || !reads_->idle()) return;
    closed_ = true;
    disarm();
    auto closing =
        std::make_unique<Closing>(loop_, writes_->take_writer(), reads_->take_readers(), std::move(*resolver_));
    try {
      loop_.poller().submit(*closing);
    } catch (...) {
      closing->run();
      closing.release()->done();
      return;
    }
    static_cast<void>(closing.release());
  }

  LoopManager& loop_;
  const std::string path_;
  std::uint32_t version_ = 0;
  Results results_;
  std::optional<SqliteReadLane> reads_;
  std::optional<SqliteWriteLane> writes_;
  std::optional<Resolver<void>> resolver_;
  bool closed_ = false;
  Hook<Explanation&>::Token on_explain_;
  Hook<Audit&>::Token on_audit_;
};

SqliteDatabase::SqliteDatabase(LoopManager& loop, SqliteOptions options)
    : loop_(loop), parts_(std::make_unique<Parts>(loop, options)) {}

SqliteDatabase::~SqliteDatabase() = default;

void SqliteDatabase::submit_write(std::unique_ptr<SqliteCall> call) { parts_->writes().submit(std::move(call)); }
void SqliteDatabase::submit_read(std::unique_ptr<SqliteCall> call) { parts_->reads().submit(std::move(call)); }

Promise<void> SqliteDatabase::close(Duration within) { return parts_->close(within); }

EventDrain& SqliteDatabase::backlog() noexcept { return parts_->writes(); }
SqliteStatus SqliteDatabase::status() const noexcept { return parts_->status(); }
Hook<const SqliteCommit&>& SqliteDatabase::committed() noexcept { return parts_->writes().committed(); }
const std::string& SqliteDatabase::path() const noexcept { return parts_->path(); }
std::uint32_t SqliteDatabase::version() const noexcept { return parts_->version(); }

}  // namespace snowfox
