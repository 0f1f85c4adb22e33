#include "read_lane.h"

#include <cassert>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include <snowfox/core/fault_point.h>
#include <snowfox/core/loop_manager.h>

namespace snowfox {

void SqliteReader::begin(Poller& poller, SqliteCall& call) {
  connection_.resume();
  call_ = &call;
  try {
    if (SNOWFOX_FAULT(WorkerStart)) throw std::system_error(EAGAIN, std::system_category(), "start a read");
    poller.submit(*this);
  } catch (...) {
    call_ = nullptr;
    throw;
  }
}

void SqliteReader::abandon() noexcept {
  lane_ = nullptr;
  connection_.stop();
}

void SqliteReader::run() noexcept {
  SqliteCall& call = *call_;
  if (!call.wanted()) return;
  try {
    connection_.execute("BEGIN");
    call.compute(snapshot_);
  } catch (...) {
    call.fail(std::current_exception());
  }
  try {
    if (connection_.in_transaction()) connection_.execute("ROLLBACK");
  } catch (...) {
    if (!call.failed()) call.fail(std::current_exception());
  }
}

void SqliteReader::done() noexcept {
  if (lane_ != nullptr) return lane_->on_back(*this);
  delete call_;
  delete this;
}

SqliteReadLane::SqliteReadLane(LoopManager& loop, const SqliteOptions& options, Results& results,
                               std::function<void()> on_back)
    : SqliteCallQueue(loop, "read", options.max_reads, options.default_deadline),
      loop_(loop),
      results_(results),
      on_back_(std::move(on_back)) {
  assert(options.readers > 0);
  for (unsigned i = 0; i < options.readers; ++i) readers_.push_back(std::make_unique<SqliteReader>(options, *this));
}

SqliteReadLane::~SqliteReadLane() {
  abandon(under_way_);
  for (auto& reader : readers_) {
    if (!reader->busy()) continue;
    reader->call().unlink();
    reader->abandon();
    static_cast<void>(reader.release());
  }
}

void SqliteReadLane::submit(std::unique_ptr<SqliteCall> call) noexcept {
  if (add(std::move(call), true)) begin_some();
}

void SqliteReadLane::begin_some() noexcept {
  for (auto& reader : readers_) {
    if (waiting() == 0) return;
    if (reader->busy()) continue;
    SqliteCall& call = begin(under_way_);
    try {
      reader->begin(loop_.poller(), call);
    } catch (...) {
      call.unlink();
      end(call, std::current_exception());
      results_.add(call);
    }
  }
}

void SqliteReadLane::on_back(SqliteReader& reader) noexcept {
  SqliteCall& call = reader.take_call();
  call.unlink();
  end(call);
  results_.add(call);
  begin_some();
  on_back_();
}

void SqliteReadLane::on_given_up(SqliteCall& call) noexcept {
  for (auto& reader : readers_) {
    if (reader->busy() && &reader->call() == &call) reader->interrupt();
  }
}

void SqliteReadLane::interrupt_all() noexcept {
  for (auto& reader : readers_) {
    if (reader->busy()) reader->interrupt();
  }
}

}  // namespace snowfox
