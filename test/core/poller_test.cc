#include <snowfox/core/poller.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/io.h>

#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

/// A watch that remembers what it was told.
class Listening final : public PollTarget {
 public:
  Listening(Poller& poller, int fd) : PollTarget(fd), poller_(poller) { poller_.watch(*this); }
  ~Listening() { end(); }
  void set_interest(bool readable, bool writable) { poller_.set_interest(*this, readable, writable); }
  void end() noexcept { poller_.unwatch(*this); }
  void on_poll(bool readable, bool writable) noexcept override {
    told.emplace_back(readable, writable);
    if (when_told) when_told();
  }
  std::vector<std::pair<bool, bool>> told;
  std::function<void()> when_told;

 private:
  Poller& poller_;
};

class UvPollerTest : public testing::Test {
 protected:
  void SetUp() override { std::tie(ours_, theirs_) = make_socket_pair(); }
  void look() { poller_.wait(TimePoint::min()); }

  Descriptor ours_;
  Descriptor theirs_;
  UvPoller poller_;
};

TEST_F(UvPollerTest, WatchesForNothingUntilItIsToldTo) {
  Listening target(poller_, ours_.get());
  send_some(theirs_.get(), "x");
  look();
  EXPECT_THAT(target.told, IsEmpty());
}

TEST_F(UvPollerTest, TellsWhatItIsAskedForAsLongAsItHolds) {
  Listening target(poller_, ours_.get());
  target.set_interest(true, false);
  look();
  EXPECT_THAT(target.told, IsEmpty());
  send_some(theirs_.get(), "x");
  look();
  look();
  EXPECT_THAT(target.told, ElementsAre(Pair(true, false), Pair(true, false)));
  target.set_interest(true, true);
  look();
  EXPECT_THAT(target.told.back(), Pair(true, true));
  target.set_interest(false, true);
  look();
  EXPECT_THAT(target.told.back(), Pair(false, true));
  target.told.clear();
  target.set_interest(false, false);
  look();
  EXPECT_THAT(target.told, IsEmpty());
}

TEST_F(UvPollerTest, TellsOfTheEndOfInput) {
  Listening target(poller_, ours_.get());
  target.set_interest(true, false);
  theirs_.reset();
  look();
  ASSERT_FALSE(target.told.empty());
  EXPECT_TRUE(target.told.back().first);
}

TEST_F(UvPollerTest, TellsWhoeverOnlyWritesThatThePeerIsGone) {
  send_some(ours_.get(), std::string(10 << 20, 'x'));
  Listening target(poller_, ours_.get());
  target.set_interest(false, true);
  look();
  EXPECT_THAT(target.told, IsEmpty());
  theirs_.reset();
  look();
  ASSERT_FALSE(target.told.empty());
  EXPECT_TRUE(target.told.back().second);
}

TEST_F(UvPollerTest, EndsTheWatchWithTheHandle) {
  Listening target(poller_, ours_.get());
  target.set_interest(true, true);
  target.end();
  send_some(theirs_.get(), "x");
  look();
  EXPECT_THAT(target.told, IsEmpty());
  Listening again(poller_, ours_.get());
  again.set_interest(true, false);
  look();
  EXPECT_THAT(again.told, ElementsAre(Pair(true, false)));
}

// Goal: whoever is told may end any watch, its own and one that is about to be told.
TEST_F(UvPollerTest, LetsATargetEndAnyWatch) {
  Listening first(poller_, ours_.get());
  Listening second(poller_, theirs_.get());
  const auto end_both = [&] {
    first.end();
    second.end();
  };
  first.when_told = second.when_told = end_both;
  first.set_interest(true, true);
  second.set_interest(true, true);
  send_some(theirs_.get(), "x");
  send_some(ours_.get(), "x");
  look();
  EXPECT_EQ(first.told.size() + second.told.size(), 1U);
}

TEST_F(UvPollerTest, RefusesWhatCannotBeWatched) {
  EXPECT_THROW(Listening(poller_, -1), std::system_error);
  const int closed = theirs_.release();
  ::close(closed);
  EXPECT_THROW(Listening(poller_, closed), std::system_error);
  Listening target(poller_, ours_.get());
  target.set_interest(true, false);
  EXPECT_THROW(Listening(poller_, ours_.get()), std::system_error);
}

// Goal: a descriptor that we share with the shell that started us is left as it was.
TEST_F(UvPollerTest, LeavesTheBlockingModeAsItWas) {
  fcntl(ours_.get(), F_SETFL, 0);
  {
    Listening target(poller_, ours_.get());
    EXPECT_EQ(fcntl(ours_.get(), F_GETFL) & O_NONBLOCK, 0);
  }
  EXPECT_EQ(fcntl(ours_.get(), F_GETFL) & O_NONBLOCK, 0);
  fcntl(ours_.get(), F_SETFL, O_NONBLOCK);
  Listening target(poller_, ours_.get());
  EXPECT_NE(fcntl(ours_.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(UvPollerTest, TellsAFileAtEachWait) {
  const TemporaryDirectory directory;
  for (const std::string& path : {directory / "file", std::string("/dev/null")}) {
    const Descriptor file(Io::system(), ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(file);
    Listening target(poller_, file.get());
    poller_.wait(poller_.now());
    EXPECT_THAT(target.told, IsEmpty());
    target.set_interest(true, false);
    poller_.wait(kNever);
    poller_.wait(kNever);
    EXPECT_THAT(target.told, ElementsAre(Pair(true, false), Pair(true, false))) << path;
    target.set_interest(false, true);
    poller_.wait(kNever);
    EXPECT_THAT(target.told.back(), Pair(false, true));
    target.told.clear();
    target.when_told = [&] { target.end(); };
    poller_.wait(kNever);
    poller_.wait(poller_.now());
    EXPECT_EQ(target.told.size(), 1U);
  }
}

// Goal: what pauses and resumes costs no system call, and is told what has come meanwhile.
TEST_F(UvPollerTest, TellsOnlyWhatIsWantedThoughItChangesItsMind) {
  Listening target(poller_, ours_.get());
  target.set_interest(true, true);
  target.set_interest(false, false);
  send_some(theirs_.get(), "x");
  look();
  look();
  EXPECT_THAT(target.told, IsEmpty());
  target.set_interest(true, false);
  look();
  EXPECT_THAT(target.told, ElementsAre(Pair(true, false)));
  target.set_interest(false, true);
  look();
  EXPECT_THAT(target.told, ElementsAre(Pair(true, false), Pair(false, true)));
}

// Goal: a peer that is gone is told as long as anything is wanted, and does not keep the loop from sleeping if not.
TEST_F(UvPollerTest, LetsAHangUpWaitUntilSomethingIsWanted) {
  Listening target(poller_, ours_.get());
  theirs_.reset();
  look();
  const TimePoint until = poller_.now() + 1ms;
  poller_.wait(until);
  EXPECT_GE(poller_.now(), until);
  EXPECT_THAT(target.told, IsEmpty());
  target.set_interest(true, false);
  look();
  look();
  EXPECT_THAT(target.told, ElementsAre(Pair(true, false), Pair(true, false)));
}

// Goal: closing a descriptor that another refers to as well does not end a watch; ending the watch does.
TEST_F(UvPollerTest, ForgetsASocketThatIsStillOpenElsewhere) {
  const Descriptor same(Io::system(), ::dup(ours_.get()));
  {
    Listening target(poller_, ours_.get());
    target.set_interest(true, false);
  }
  ours_.reset();
  send_some(theirs_.get(), "x");
  const TimePoint until = poller_.now() + 1ms;
  poller_.wait(until);
  EXPECT_GE(poller_.now(), until);
}

TEST_F(UvPollerTest, TellsMoreDescriptorsThanTheKernelNamesAtOnce) {
  std::vector<std::unique_ptr<Listening>> targets;
  std::vector<Descriptor> ends;
  for (int i = 0; i < 400; ++i) {
    auto [one, other] = make_socket_pair();
    for (Descriptor* end : {&one, &other}) {
      targets.push_back(std::make_unique<Listening>(poller_, end->get()));
      targets.back()->set_interest(false, true);
      ends.push_back(std::move(*end));
    }
  }
  look();
  look();
  for (const auto& target : targets) EXPECT_FALSE(target->told.empty());
}

TEST_F(UvPollerTest, TellsDescriptorsBesidesAFile) {
  const TemporaryDirectory directory;
  const Descriptor file(Io::system(), ::open((directory / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  Listening always(poller_, file.get());
  always.set_interest(true, false);
  Listening target(poller_, ours_.get());
  target.set_interest(true, false);
  send_some(theirs_.get(), "x");
  poller_.wait(kNever);
  EXPECT_EQ(always.told.size(), 1U);
  EXPECT_EQ(target.told.size(), 1U);
}

TEST_F(UvPollerTest, NeverWaitsForLessThanItIsTold) {
  for (int i = 0; i < 20; ++i) {
    const TimePoint until = poller_.now() + 700us + i * 137us;
    poller_.wait(until);
    EXPECT_GE(poller_.now(), until);
  }
}

TEST_F(UvPollerTest, DoesNotWaitForATimeThatHasPassed) {
  poller_.wait(poller_.now());
  poller_.wait(TimePoint::min());
  poller_.wait(TimePoint{});
}

TEST_F(UvPollerTest, TellsACoarseTimeThatIsNotLaterAndNeverGoesBack) {
  TimePoint last = poller_.coarse_now();
  for (int i = 0; i < 1000; ++i) {
    const TimePoint coarse = poller_.coarse_now();
    EXPECT_GE(coarse, last);
    EXPECT_LE(coarse, poller_.now());
    last = coarse;
  }
}

TEST_F(UvPollerTest, IsWokenFromAnyThread) {
  poller_.wake();
  poller_.wait(kNever);
  std::atomic<bool> waking{false};
  std::thread other([&] {
    while (!waking) std::this_thread::yield();
    poller_.wake();
  });
  waking = true;
  poller_.wait(kNever);
  other.join();
}

class CountedWork final : public Work {
 public:
  void run() noexcept override { ran_on = std::this_thread::get_id(); }
  void done() noexcept override { done_on = std::this_thread::get_id(); }
  std::thread::id ran_on;
  std::thread::id done_on;
};

TEST_F(UvPollerTest, RunsWorkOnAnotherThreadAndEndsItOnThisOne) {
  CountedWork work;
  poller_.submit(work);
  while (work.done_on == std::thread::id()) poller_.wait(kNever);
  EXPECT_EQ(work.done_on, std::this_thread::get_id());
  EXPECT_NE(work.ran_on, std::this_thread::get_id());
  EXPECT_NE(work.ran_on, std::thread::id());
}

TEST_F(UvPollerTest, EndsWorkUnderWayBeforeItGoes) {
  CountedWork work;
  {
    UvPoller poller;
    poller.submit(work);
  }
  EXPECT_EQ(work.done_on, std::this_thread::get_id());
}

TEST_F(UvPollerTest, IsNotDrivenIfItsLoopIsItsOwn) {
  EXPECT_THROW(poller_.drive([] { return kNever; }), std::logic_error);
}

}  // namespace
}  // namespace snowfox
