#include <snowfox/sources/signal_source.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>

#include "support/run_until.h"

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

bool is_blocked(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

bool is_pending(int signal) {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, signal) == 1;
}

class SignalSourceTest : public testing::Test {
 protected:
  SignalSource::Handler record() {
    return [this](int signal) { received_.push_back(signal); };
  }
  bool received(std::size_t count) {
    return run_until(loop_, [&] { return received_.size() >= count; });
  }

  LoopManager loop_;
  std::vector<int> received_;
};

TEST_F(SignalSourceTest, TurnsASignalIntoAnEvent) {
  SignalSource source(loop_, {SIGUSR1, SIGUSR2}, record());
  kill(getpid(), SIGUSR2);
  ASSERT_TRUE(received(1));
  EXPECT_THAT(received_, ElementsAre(SIGUSR2));
  EXPECT_EQ(source.name(), "signals SIGUSR1 SIGUSR2");
}

TEST_F(SignalSourceTest, TakesAHandlerWithoutArguments) {
  SignalSource source(loop_, {SIGUSR1}, [this] { loop_.stop(3); });
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(loop_.run(), 3);
}

// Goal: what a handler throws reaches the loop's error policy.
TEST_F(SignalSourceTest, EndsTheLoopByCleanExit) {
  SignalSource source(loop_, {SIGTERM}, [](int) { throw CleanExit(); });
  kill(getpid(), SIGTERM);
  EXPECT_EQ(loop_.run(), 0);
}

TEST_F(SignalSourceTest, HandsOutASignalSentTwiceOnce) {
  SignalSource source(loop_, {SIGUSR1, SIGUSR2}, record());
  kill(getpid(), SIGUSR1);
  kill(getpid(), SIGUSR1);
  kill(getpid(), SIGUSR2);
  ASSERT_TRUE(received(2));
  loop_.run_for(Duration::zero());
  EXPECT_THAT(received_, UnorderedElementsAre(SIGUSR1, SIGUSR2));
}

TEST_F(SignalSourceTest, KeepsEveryRealTimeSignal) {
  SignalSource source(loop_, {SIGRTMIN}, record());
  for (int i = 0; i < 3; ++i) kill(getpid(), SIGRTMIN);
  ASSERT_TRUE(received(3));
}

TEST_F(SignalSourceTest, GivesEachSourceItsOwnSignals) {
  std::vector<int> others;
  SignalSource first(loop_, {SIGUSR1}, record());
  SignalSource second(loop_, {SIGUSR2}, [&](int signal) { others.push_back(signal); });
  kill(getpid(), SIGUSR1);
  kill(getpid(), SIGUSR2);
  ASSERT_TRUE(run_until(loop_, [&] { return received_.size() + others.size() == 2; }));
  EXPECT_THAT(received_, ElementsAre(SIGUSR1));
  EXPECT_THAT(others, ElementsAre(SIGUSR2));
}

TEST_F(SignalSourceTest, RefusesASignalThatAnotherSourceHas) {
  {
    SignalSource first(loop_, {SIGUSR1}, record());
    EXPECT_THROW(SignalSource(loop_, {SIGUSR2, SIGUSR1}, record()), std::system_error);
    EXPECT_FALSE(is_blocked(SIGUSR2)) << "a source that could not be made has changed the mask";
    EXPECT_NO_THROW(SignalSource(loop_, {SIGUSR2}, record()));
  }
  EXPECT_NO_THROW(SignalSource(loop_, {SIGUSR1}, record()));
}

TEST_F(SignalSourceTest, RefusesWhatCannotBeWaitedFor) {
  EXPECT_THROW(SignalSource(loop_, {}, record()), std::invalid_argument);
  EXPECT_THROW(SignalSource(loop_, {SIGUSR1, SIGUSR1}, record()), std::invalid_argument);
  EXPECT_THROW(SignalSource(loop_, {SIGKILL}, record()), std::invalid_argument);
  EXPECT_THROW(SignalSource(loop_, {SIGSEGV}, record()), std::invalid_argument);
  EXPECT_THROW(SignalSource(loop_, {0}, record()), std::invalid_argument);
  EXPECT_THROW(SignalSource(loop_, {1000}, record()), std::invalid_argument);
  EXPECT_THROW(SignalSource(loop_, {-1}, record()), std::invalid_argument);
}

TEST_F(SignalSourceTest, UnblocksOnlyWhatItHasBlocked) {
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &usr1, nullptr);
  {
    SignalSource source(loop_, {SIGUSR1, SIGUSR2}, record());
    EXPECT_TRUE(is_blocked(SIGUSR2));
  }
  EXPECT_TRUE(is_blocked(SIGUSR1));
  EXPECT_FALSE(is_blocked(SIGUSR2));
  pthread_sigmask(SIG_UNBLOCK, &usr1, nullptr);
}

// Goal: a second SIGTERM during the shutdown that the first began does not kill the process.
TEST_F(SignalSourceTest, ForgetsWhatIsPendingWhenDestroyed) {
  {
    SignalSource source(loop_, {SIGTERM}, record());
    kill(getpid(), SIGTERM);
    EXPECT_TRUE(is_pending(SIGTERM));
  }
  EXPECT_FALSE(is_pending(SIGTERM));
  loop_.run_for(Duration::zero());
  EXPECT_THAT(received_, ElementsAre());
}

TEST_F(SignalSourceTest, MayBeDestroyedByItsHandler) {
  std::optional<SignalSource> source;
  int handled = 0;
  source.emplace(loop_, std::vector<int>{SIGUSR1}, [&](int) {
    source.reset();
    ++handled;
  });
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(loop_.run(), 0) << "nothing is left to wait for";
  EXPECT_EQ(handled, 1);
}

TEST_F(SignalSourceTest, HandsOutWhatCameWhilePausedWhenResumed) {
  SignalSource source(loop_, {SIGUSR1}, record());
  source.pause();
  kill(getpid(), SIGUSR1);
  loop_.run_for(Duration::zero());
  EXPECT_THAT(received_, ElementsAre());
  source.resume();
  ASSERT_TRUE(received(1));
}

TEST_F(SignalSourceTest, GivesItsSignalsBackWhenTheLoopRemovesIt) {
  SignalSource source(loop_, {SIGUSR1}, record());
  loop_.remove(source.id());
  EXPECT_FALSE(is_blocked(SIGUSR1));
  EXPECT_NO_THROW(SignalSource(loop_, {SIGUSR1}, record()));
}

}  // namespace
}  // namespace snowfox
