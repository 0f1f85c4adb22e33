// A loop on a uv_loop_t that the program has already.
#include <uv.h>

#include <fcntl.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/channel.h>
#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>

#include "support/recording_sink.h"
#include "support/scripted_source.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"
#include "support/valve_drain.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class CallTimer final : public Timer {
 public:
  explicit CallTimer(std::function<void()> call = nullptr) : call_(std::move(call)) {}

 private:
  void expire() noexcept override {
    if (call_) call_();
  }
  std::function<void()> call_;
};

/// Calls a function once from the program's own loop.
class UvCall {
 public:
  UvCall(uv_loop_t* loop, std::function<void()> call, std::uint64_t milliseconds = 0)
      : call_(std::move(call)), timer_(new uv_timer_t) {
    uv_timer_init(loop, timer_);
    timer_->data = this;
    uv_timer_start(
        timer_, [](uv_timer_t* timer) { static_cast<UvCall*>(timer->data)->call_(); }, milliseconds, 0);
  }
  ~UvCall() {
    uv_close(reinterpret_cast<uv_handle_t*>(timer_),
             [](uv_handle_t* closed) { delete reinterpret_cast<uv_timer_t*>(closed); });
  }
  UvCall(const UvCall&) = delete;
  UvCall& operator=(const UvCall&) = delete;

  void unref() { uv_unref(reinterpret_cast<uv_handle_t*>(timer_)); }

 private:
  std::function<void()> call_;
  uv_timer_t* timer_;
};

class EmbeddingTest : public testing::Test {
 protected:
  EmbeddingTest() {
    uv_loop_init(&uv_);
    loop_ = std::make_unique<LoopManager>(std::make_unique<UvPoller>(&uv_), Io::system(), log_);
    // Only a test that fails waits so long.
    watchdog_ = std::make_unique<UvCall>(
        &uv_,
        [this] {
          timed_out_ = true;
          uv_stop(&uv_);
        },
        20'000);
    watchdog_->unref();
  }
  ~EmbeddingTest() override {
    loop_.reset();
    watchdog_.reset();
    uv_run(&uv_, UV_RUN_DEFAULT);
    EXPECT_EQ(uv_loop_close(&uv_), 0) << "a handle was left behind";
  }

  /// Runs the program's loop until it ends by itself.
  bool ends() {
    uv_run(&uv_, UV_RUN_DEFAULT);
    return !timed_out_;
  }
  /// The end of a connection that has a watch on its other one as long as the channel lives.
  ChannelRef watch(EventSource& source) {
    auto [ours, theirs] = make_socket_pair();
    theirs_ = std::move(theirs);
    auto channel = Channel::make(*loop_, std::move(ours));
    channel->set_source(&source);
    channel->watch_read(true);
    return channel;
  }

  uv_loop_t uv_{};
  RecordingSink sink_;
  Log log_{sink_};
  std::unique_ptr<LoopManager> loop_;
  std::unique_ptr<UvCall> watchdog_;
  Descriptor theirs_;
  bool timed_out_ = false;
};

TEST_F(EmbeddingTest, EndsAtOnceWhenThereIsNothingToWaitFor) {
  loop_->attach();
  EXPECT_TRUE(ends());
  loop_->detach();
}

TEST_F(EmbeddingTest, HandlesEventsUntilNothingIsLeft) {
  std::vector<int> handled;
  auto& source = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  loop_->attach();
  for (int i = 0; i < 200; ++i) source.give([&handled, i] { handled.push_back(i); });
  source.give([&] { loop_->remove(source.id()); });
  EXPECT_TRUE(ends());
  EXPECT_EQ(handled.size(), 200U);
}

TEST_F(EmbeddingTest, HandlesWhatTheProgramsOwnCallbacksGive) {
  auto source = std::make_unique<ScriptedSource>(*loop_);
  std::vector<std::string> handled;
  loop_->attach();
  const UvCall call(&uv_, [&] {
    source->give([&] {
      handled.emplace_back("event");
      source.reset();
    });
    handled.emplace_back("callback");
  });
  EXPECT_TRUE(ends());
  EXPECT_THAT(handled, ElementsAre("callback", "event"));
}

TEST_F(EmbeddingTest, HandlesWhatAnotherThreadGives) {
  auto source = std::make_unique<ScriptedSource>(*loop_);
  source->on_parse = [&] { loop_->stop(4); };
  loop_->attach();
  std::thread other;
  const UvCall call(&uv_, [&] { other = std::thread([&] { source->ready_from_any_thread(); }); });
  EXPECT_TRUE(ends());
  other.join();
  EXPECT_EQ(loop_->exit_code(), 4);
}

TEST_F(EmbeddingTest, LetsTimersExpireInOrderAndThenEnds) {
  std::vector<int> expired;
  CallTimer second([&] { expired.push_back(2); });
  CallTimer first([&] { expired.push_back(1); });
  loop_->attach();
  const TimePoint began = loop_->now();
  loop_->arm(second, 5ms);
  loop_->arm(first, 2ms);
  EXPECT_TRUE(ends());
  EXPECT_THAT(expired, ElementsAre(1, 2));
  EXPECT_GE(loop_->now(), began + 5ms);
}

TEST_F(EmbeddingTest, WaitsForATimerThatIsArmedInACallback) {
  auto source = std::make_unique<ScriptedSource>(*loop_);
  CallTimer timer([&] { source.reset(); });
  loop_->attach();
  const UvCall call(&uv_, [&] { loop_->arm(timer, 1ms); });
  EXPECT_TRUE(ends());
  EXPECT_EQ(source, nullptr);
}

// Goal: a crowd of timers due at once, of whatever size, leaves a loop that ends.
TEST_F(EmbeddingTest, EndsAfterACrowdOfTimers) {
  for (const std::size_t count : {1023U, 1024U, 1025U, 2048U, 5000U}) {
    std::vector<std::unique_ptr<CallTimer>> timers;
    loop_->attach();
    for (std::size_t i = 0; i < count; ++i) {
      timers.push_back(std::make_unique<CallTimer>());
      loop_->arm(*timers.back(), Duration::zero());
    }
    EXPECT_TRUE(ends()) << count;
    for (const auto& timer : timers) EXPECT_FALSE(timer->armed());
    loop_->detach();
  }
}

// Goal: what is made while the program's loop has nothing else to do is waited for, even if that loop is just about to
// end.
TEST_F(EmbeddingTest, WaitsForWhatIsMadeAtTheLastMoment) {
  loop_->attach();
  auto* closing = new uv_timer_t;
  uv_timer_init(&uv_, closing);
  bool expired = false;
  CallTimer timer([&] { expired = true; });
  std::function<void()> when_closed = [&] { loop_->arm(timer, 1ms); };
  closing->data = &when_closed;
  uv_close(reinterpret_cast<uv_handle_t*>(closing), [](uv_handle_t* closed) {
    (*static_cast<std::function<void()>*>(closed->data))();
    delete reinterpret_cast<uv_timer_t*>(closed);
  });
  EXPECT_TRUE(ends());
  EXPECT_TRUE(expired);
}

TEST_F(EmbeddingTest, DoesNotGoOnForBackgroundSources) {
  ScriptedSource background(*loop_);
  background.set_background(true);
  const auto channel = watch(background);
  loop_->attach();
  EXPECT_TRUE(ends());
}

TEST_F(EmbeddingTest, ServesABackgroundSourceWhileOthersGoOn) {
  ScriptedSource background(*loop_);
  background.set_background(true);
  const auto channel = watch(background);
  auto foreground = std::make_unique<ScriptedSource>(*loop_);
  background.on_parse = [&] { foreground.reset(); };
  loop_->attach();
  send_some(theirs_.get(), "x");
  EXPECT_TRUE(ends());
  EXPECT_GE(background.parses, 1U);
}

TEST_F(EmbeddingTest, EndsInOrderOnCleanExitThoughAConnectionIsOpen) {
  std::vector<int> exits;
  const auto token = loop_->lifecycle().process_exit.add([&](LoopManager&, int code) { exits.push_back(code); });
  ScriptedSource connection(*loop_);
  const auto channel = watch(connection);
  ValveDrain drain(*loop_);
  drain.opening_bytes = 0;
  CallTimer later([&] { drain.open(); });
  connection.give([&] {
    drain.enqueue("the last answer");
    loop_->arm(later, 2ms);
    throw CleanExit();
  });
  connection.give([] { FAIL() << "the loop has ended"; });
  loop_->attach();
  const TimePoint began = loop_->now();
  EXPECT_TRUE(ends());
  EXPECT_LT(loop_->now() - began, loop_->options().flush_timeout) << "timers expire in the end, too";
  EXPECT_EQ(drain.flown, "the last answer");
  EXPECT_TRUE(connection.stopping);
  EXPECT_EQ(loop_->exit_code(), 0);
  EXPECT_THAT(exits, ElementsAre(0));
}

TEST_F(EmbeddingTest, EndsAtOnceOnAbort) {
  ScriptedSource source(*loop_);
  ValveDrain drain(*loop_);
  drain.opening_bytes = 0;
  source.give([&] {
    drain.enqueue("lost");
    throw AbortError("disk on fire");
  });
  loop_->attach();
  EXPECT_TRUE(ends());
  EXPECT_EQ(loop_->exit_code(), 1);
  EXPECT_EQ(sink_.count("aborted"), 1U);
}

TEST_F(EmbeddingTest, EndsWhenItIsStoppedFromACallback) {
  const ScriptedSource source(*loop_);
  loop_->attach();
  const UvCall call(&uv_, [&] { loop_->stop(9); });
  EXPECT_TRUE(ends());
  EXPECT_EQ(loop_->exit_code(), 9);
}

TEST_F(EmbeddingTest, MayBeDetachedByAHandler) {
  ScriptedSource source(*loop_);
  int handled = 0;
  source.give([&] { loop_->detach(); });
  source.give([&] { ++handled; });
  loop_->attach();
  EXPECT_TRUE(ends());
  EXPECT_EQ(handled, 0);
  loop_->attach();
  source.give([&] { loop_->stop(); });
  EXPECT_TRUE(ends());
  EXPECT_EQ(handled, 1);
}

TEST_F(EmbeddingTest, MayBeDetachedByACallback) {
  std::vector<int> exits;
  const auto token = loop_->lifecycle().process_exit.add([&](LoopManager&, int code) { exits.push_back(code); });
  ScriptedSource source(*loop_);
  const auto channel = watch(source);
  loop_->attach();
  const UvCall call(&uv_, [&] {
    loop_->detach();
    loop_->detach();
  });
  EXPECT_TRUE(ends());
  EXPECT_THAT(exits, ElementsAre(0));
}

// Goal: a source that never runs dry starves neither the program's own callbacks nor anybody's timers.
TEST_F(EmbeddingTest, LeavesTheProgramsOwnCallbacksTheirTurn) {
  ScriptedSource busy(*loop_);
  bool called = false;
  bool expired = false;
  std::function<void()> again = [&] {
    if (called && expired) loop_->stop();
    busy.give(again);
  };
  busy.give(again);
  const UvCall call(
      &uv_, [&] { called = true; }, 1);
  CallTimer timer([&] { expired = true; });
  loop_->arm(timer, 1ms);
  loop_->attach();
  EXPECT_TRUE(ends());
  EXPECT_TRUE(called && expired);
}

TEST_F(EmbeddingTest, TellsFilesAsWell) {
  const TemporaryDirectory directory;
  Descriptor file(Io::system(), ::open((directory / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  auto source = std::make_unique<ScriptedSource>(*loop_);
  const auto channel = Channel::make(*loop_, std::move(file));
  channel->set_source(source.get());
  channel->watch_read(true);
  source->on_parse = [&] {
    if (source->parses == 3) loop_->stop();
  };
  loop_->attach();
  EXPECT_TRUE(ends());
  EXPECT_EQ(source->parses, 3U);
  channel->set_source(nullptr);
}

// Goal: a loop that waits for another thread does so asleep. The thread takes its time: it counts the waits meanwhile.
TEST_F(EmbeddingTest, WaitsOnTheProgramsLoopWithoutBeingAttached) {
  ScriptedSource source(*loop_);
  source.on_parse = [&] { loop_->stop(6); };
  std::thread other;
  const auto token = loop_->lifecycle().process_init.add([&](LoopManager&) {
    other = std::thread([&] {
      for (int i = 0; i < 1000; ++i) std::this_thread::yield();
      source.ready_from_any_thread();
    });
  });
  EXPECT_EQ(loop_->run(), 6);
  other.join();
  EXPECT_LE(loop_->counters().polls, 2U);
}

// Goal: libuv runs timers before it blocks. A time that comes in between, because the thread was not given the
// processor, must still end the wait. Here another timer takes the processor's time, so that it comes then.
TEST_F(EmbeddingTest, DoesNotSleepThroughATimeThatComesBeforeItBlocks) {
  const TimePoint until = loop_->now() + 2ms;
  const UvCall late(&uv_, [&] {
    while (loop_->now() < until + 2ms) {
    }
    uv_update_time(&uv_);
  });
  loop_->poller().wait(until);
  EXPECT_FALSE(timed_out_);
  EXPECT_GE(loop_->now(), until);
}

}  // namespace
}  // namespace snowfox
