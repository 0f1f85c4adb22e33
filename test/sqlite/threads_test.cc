// With the threads of a real poller.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <snowfox/core/audit.h>
#include <snowfox/core/explanation.h>
#include <snowfox/sqlite/sqlite_database.h>

#include "faulty_disk.h"
#include "sqlite_fixture.h"

namespace snowfox {
namespace {

constexpr const char* kForEver =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

class SqliteThreadsTest : public ::testing::Test, protected SqliteFile {
 protected:
  LoopManager loop;
};

/// Holds up whoever waits for it until it is opened.
class Gate {
 public:
  void wait() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [this] { return open_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

TEST_F(SqliteThreadsTest, RunsFunctionsOnAnotherThreadAndContinuesOnTheLoop) {
  SqliteDatabase db(loop, options);
  const auto here = std::this_thread::get_id();
  EXPECT_NE(outcome(loop, db.write([](SqliteTransaction&) { return std::this_thread::get_id(); })), here);
  EXPECT_NE(outcome(loop, db.read([](SqliteSnapshot&) { return std::this_thread::get_id(); })), here);
  auto continued = db.read(&count).then([](std::int64_t) { return std::this_thread::get_id(); });
  EXPECT_EQ(outcome(loop, std::move(continued)), here);
}

// Goal: what is given belongs to the loop's thread, and goes there, though a function takes it by value.
TEST_F(SqliteThreadsTest, GivesUpWhatItWasGivenOnTheLoop) {
  SqliteDatabase db(loop, options);
  std::vector<std::thread::id> gone_on;
  const auto make = [&] {
    return std::shared_ptr<int>(new int(7), [&](const int* number) {
      gone_on.push_back(std::this_thread::get_id());
      delete number;
    });
  };
  outcome(loop,
          db.write([held = make()](SqliteTransaction&, std::shared_ptr<int> given) { return *held + *given; }, make()));
  outcome(loop,
          db.read([held = make()](SqliteSnapshot&, std::shared_ptr<int> given) { return *held + *given; }, make()));
  EXPECT_THAT(gone_on, ::testing::ElementsAreArray(std::vector(4, std::this_thread::get_id())));
}

// Goal: whoever is told that a call was too late may drop its promise, begun or not.
TEST_F(SqliteThreadsTest, WhoIsToldThatACallIsTooLateMayDropItsPromise) {
  SqliteDatabase db(loop, options);
  Gate gate;
  std::vector<Promise<void>> promises;
  std::vector<StepKind> ends;
  const auto token = loop.lifecycle().step.add([&](const Step& step) {
    if (step.kind == StepKind::Kept) return;
    ends.push_back(step.kind);
    promises[step.id.text() == "second" ? 1 : 0] = {};
  });
  promises.push_back(
      db.write({.deadline = 20ms, .id = CorrelationId("first")}, [&](SqliteTransaction&) { gate.wait(); }));
  promises.push_back(
      db.write({.deadline = 20ms, .id = CorrelationId("second")}, [&](SqliteTransaction&) { gate.wait(); }));
  while (ends.size() < 2) loop.run_for(1ms);
  gate.open();
  EXPECT_THAT(ends, ::testing::Each(StepKind::TimedOut));
  EXPECT_EQ(db.status().writes.counters.timed_out, 2U);
  EXPECT_TRUE(loop.audit().findings().empty());
}

// Goal: ten thousand who write one thing after the other share commits.
TEST_F(SqliteThreadsTest, CommitsForManyAtATime) {
  FaultyDisk disk;
  SqliteDatabase db(loop, options);
  FaultyDisk::syncs = 0;
  constexpr int kClients = 10'000;
  int done = 0;
  for (int i = 0; i < kClients; ++i) {
    db.write(&insert, "first of " + std::to_string(i))
        .then([&db, i](std::int64_t) { return db.write(&insert, "second of " + std::to_string(i)); })
        .then([&done](std::int64_t) { ++done; })
        .detach();
  }
  ASSERT_TRUE(run_until(
      loop, [&] { return done == kClients; }, 60s));
  EXPECT_EQ(outcome(loop, db.read(&count)), 2 * kClients);
  const SqliteStatus status = db.status();
  EXPECT_LE(status.commits, 100);
  EXPECT_LE(FaultyDisk::syncs, 300);
  EXPECT_EQ(status.writes.counters.done, 2 * kClients);
  EXPECT_EQ(status.pending_bytes, 0);
  EXPECT_TRUE(loop.audit().findings().empty());
  std::printf("   %d units, %d commits, %d syncs\n", 2 * kClients, static_cast<int>(status.commits),
              static_cast<int>(FaultyDisk::syncs));
}

TEST_F(SqliteThreadsTest, ReadsWhileItWrites) {
  SqliteDatabase db(loop, options);
  outcome(loop, db.write(&insert, std::string("one")));
  auto gate = std::make_shared<Gate>();
  auto slow = db.write([gate](SqliteTransaction& t) {
    insert(t, "two");
    gate->wait();
  });
  EXPECT_EQ(outcome(loop, db.read(&count)), 1);
  EXPECT_FALSE(slow.settled());
  EXPECT_EQ(db.status().writes.under_way, 1);
  EXPECT_EQ(loop.explain().waits().size(), 1);
  gate->open();
  outcome(loop, std::move(slow));
  EXPECT_EQ(outcome(loop, db.read(&count)), 2);
}

TEST_F(SqliteThreadsTest, InterruptsAReadAtItsDeadline) {
  SqliteDatabase db(loop, options);
  const auto for_ever = [](SqliteSnapshot& s) { return s.one<std::int64_t>(kForEver); };
  EXPECT_EQ(code_of(failure(loop, db.read({.deadline = 50ms}, for_ever))), Errc::DeadlineExceeded);
  // The only reader is free again.
  EXPECT_EQ(outcome(loop, db.read(&count)), 0);
  {
    const auto dropped = db.read(for_ever);
    loop.run_for(10ms);
  }
  EXPECT_EQ(outcome(loop, db.read(&count)), 0);
  EXPECT_EQ(db.status().reads.counters.timed_out, 1);
  EXPECT_EQ(db.status().reads.counters.dropped, 1);
}

TEST_F(SqliteThreadsTest, SaysSoWhenAWriteIsUnderWayAtItsDeadline) {
  SqliteDatabase db(loop, options);
  auto gate = std::make_shared<Gate>();
  auto slow = db.write({.deadline = 20ms}, [gate](SqliteTransaction& t) {
    insert(t, "committed after all");
    gate->wait();
  });
  const std::exception_ptr why = failure(loop, std::move(slow));
  EXPECT_EQ(code_of(why), Errc::DeadlineExceeded);
  EXPECT_THAT(describe(why), ::testing::HasSubstr("under way still"));
  gate->open();
  EXPECT_EQ(outcome(loop, db.write([](SqliteTransaction& t) { return count(t); })), 1);
}

TEST_F(SqliteThreadsTest, MayBeDestroyedWhileItWritesAndReads) {
  auto gate = std::make_shared<Gate>();
  auto begun = std::make_shared<Gate>();
  auto held = std::make_shared<int>();
  {
    auto db = std::make_unique<SqliteDatabase>(loop, options);
    auto write = db->write([gate, begun, held](SqliteTransaction& t) {
      insert(t, "under way");
      begun->open();
      gate->wait();
    });
    auto waits = db->write(&insert, std::string("waits"));
    auto read = db->read([](SqliteSnapshot& s) { return s.one<std::int64_t>(kForEver); });
    loop.run_for(Duration::zero());
    begun->wait();
    auto queued = db->write(&insert, std::string("not begun"));
    db.reset();
    for (auto* one : {&waits, &queued}) {
      EXPECT_EQ(code_of(failure(loop, std::move(*one))), Errc::ShuttingDown);
    }
    EXPECT_EQ(code_of(failure(loop, std::move(write))), Errc::ShuttingDown);
    EXPECT_EQ(code_of(failure(loop, std::move(read))), Errc::ShuttingDown);
  }
  gate->open();
  // Whoever opens it next waits until it is closed.
  SqliteDatabase next(loop, options);
  for (const TimePoint late = loop.now() + 20s; held.use_count() > 1 && loop.now() < late;) {
    outcome(loop, next.write([](SqliteTransaction&) {}));
  }
  EXPECT_EQ(held.use_count(), 1);
  // The one after it in its commit had not begun.
  EXPECT_EQ(outcome(loop, next.read(&count)), 1);
}

TEST_F(SqliteThreadsTest, ClosesWithinItsDeadline) {
  SqliteDatabase db(loop, options);
  auto gate = std::make_shared<Gate>();
  auto slow = db.write([gate](SqliteTransaction& t) {
    insert(t, "slow");
    gate->wait();
  });
  auto read = db.read([](SqliteSnapshot& s) { return s.one<std::int64_t>(kForEver); });
  loop.run_for(1ms);
  auto waits = db.write(&insert, std::string("waits"));
  auto closed = db.close(20ms);
  EXPECT_EQ(code_of(failure(loop, std::move(waits))), Errc::ShuttingDown);
  EXPECT_EQ(code_of(failure(loop, std::move(read))), SqliteErrc::Interrupted);
  EXPECT_FALSE(closed.settled());
  gate->open();
  outcome(loop, std::move(slow));
  outcome(loop, std::move(closed));
}

TEST_F(SqliteThreadsTest, IsOverWhenTheLoopIsDestroyedMeanwhile) {
  auto held = std::make_shared<int>();
  {
    LoopManager other;
    SqliteDatabase db(other, options);
    db.write([held](SqliteTransaction& t) { insert(t, "one"); }).detach();
    db.read([held](SqliteSnapshot& s) { count(s); }).detach();
    other.run_for(Duration::zero());
  }
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace snowfox
