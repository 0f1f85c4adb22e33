#include <snowfox/sources/adopted_process_source.h>

#include <sys/wait.h>
#include <unistd.h>
#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/line_source.h>
#include <snowfox/sources/orphan_reaper.h>

#include "support/run_until.h"

namespace snowfox {
namespace {

ProcessOptions shell(const std::string& script) {
  ProcessOptions options;
  options.arguments = {"sh", "-c", script};
  return options;
}

ProcessIdentity identity(pid_t pid) {
  const auto found = identify_process(Io::system(), pid);
  EXPECT_TRUE(found.has_value());
  return found.value_or(ProcessIdentity{});
}

TEST(ProcessIdentityTest, IsTheSameAsLongAsTheProcessLives) {
  const auto self = identity(getpid());
  EXPECT_EQ(self.pid, getpid());
  EXPECT_GT(self.start_ticks, 0);
  EXPECT_EQ(identity(getpid()), self);
  EXPECT_NE(identity(getppid()).pid, self.pid);
}

TEST(ProcessIdentityTest, IsNobodysWhereThereIsNoProcess) {
  const pid_t ended = fork();
  if (ended == 0) _exit(0);
  EXPECT_TRUE(identify_process(Io::system(), ended)) << "not yet waited for, so its number is its own";
  waitpid(ended, nullptr, 0);
  EXPECT_FALSE(identify_process(Io::system(), ended));
  EXPECT_FALSE(identify_process(Io::system(), 0));
  EXPECT_FALSE(identify_process(Io::system(), -1));
}

class AdoptedProcessSourceTest : public testing::Test {
 protected:
  /// A process that is a child of this one, which does not use that.
  ProcessIdentity start(const std::function<void()>& run) {
    const pid_t pid = fork();
    if (pid == 0) {
      signal(SIGTERM, SIG_DFL);
      run();
      _exit(0);
    }
    return identity(pid);
  }
  AdoptedProcessSource::Handler remember() {
    return [this](const ProcessExit& exit) { exit_ = exit; };
  }

  LoopManager loop_;
  std::optional<ProcessExit> exit_;
};

TEST_F(AdoptedProcessSourceTest, TellsTheEndAsItWasTold) {
  const auto process = start([] { pause(); });
  AdoptedProcessSource adopted(loop_, process, remember());
  EXPECT_EQ(adopted.process(), process);
  loop_.run_for(Duration::zero());
  EXPECT_FALSE(exit_);
  EXPECT_TRUE(adopted.signal(SIGTERM));
  int status = 0;
  waitpid(process.pid, &status, 0);
  ProcessExit exit;
  exit.pid = process.pid;
  exit.signal = WTERMSIG(status);
  adopted.told(exit);
  EXPECT_TRUE(run_until(loop_, [&] { return exit_.has_value(); }));
  EXPECT_EQ(exit_->pid, process.pid);
  EXPECT_EQ(exit_->signal, SIGTERM);
  EXPECT_FALSE(adopted.signal(SIGTERM));
}

// Goal: it comes whether or not this kernel tells how: then with the code, else as unknown.
TEST_F(AdoptedProcessSourceTest, TellsAnEndThatNobodyTellsItOf) {
  const auto process = start([] { pause(); });
  AdoptedProcessSource adopted(loop_, process, remember());
  EXPECT_TRUE(adopted.signal(SIGKILL));
  waitpid(process.pid, nullptr, 0);
  EXPECT_TRUE(run_until(loop_, [&] { return exit_.has_value(); }));
  EXPECT_EQ(exit_->pid, process.pid);
  EXPECT_FALSE(exit_->code);
  if (exit_->signal) {
    EXPECT_EQ(exit_->signal, SIGKILL);
  } else {
    EXPECT_EQ(exit_->str(), "unknown");
  }
}

TEST_F(AdoptedProcessSourceTest, IsNotTakenInByAnotherProcessOfTheSameNumber) {
  auto process = start([] { pause(); });
  --process.start_ticks;
  try {
    AdoptedProcessSource adopted(loop_, process, remember());
    FAIL() << "another process was adopted";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ESRCH);
  }
  kill(process.pid, SIGKILL);
  waitpid(process.pid, nullptr, 0);
}

// Goal: what it has left behind goes with it, whether or not it was waited for before that was noticed.
TEST_F(AdoptedProcessSourceTest, EndsTheRestOfTheGroupWithTheProcessIfAskedTo) {
  for (const bool waited_for : {true, false}) {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    const auto process = start([&] {
      setpgid(0, 0);
      if (fork() == 0) {
        [[maybe_unused]] const ssize_t told = write(ends[1], "x", 1);
      }
      pause();
    });
    close(ends[1]);
    char told = 0;
    ASSERT_EQ(read(ends[0], &told, 1), 1);
    exit_.reset();
    AdoptedProcessSource adopted(loop_, process, remember(), /*end_group=*/true);
    kill(process.pid, SIGKILL);
    if (waited_for) waitpid(process.pid, nullptr, 0);
    EXPECT_TRUE(run_until(loop_, [&] { return exit_.has_value(); }));
    // The rest holds the other end as long as it lives.
    EXPECT_EQ(read(ends[0], &told, 1), 0);
    if (!waited_for) waitpid(process.pid, nullptr, 0);
    close(ends[0]);
  }
}

TEST(ProcessIdentityTest, DoesNotEndTheGroupOfAnotherProcessOfTheSameNumber) {
  const pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    pause();
    _exit(0);
  }
  setpgid(pid, pid);
  auto former = identity(pid);
  --former.start_ticks;
  kill_left_group(Io::system(), former);
  EXPECT_EQ(kill(pid, 0), 0);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  kill_left_group(Io::system(), {0, 0});  // ourselves, to kill(2)
  kill_left_group(Io::system(), {1, 0});  // everybody
}

TEST_F(AdoptedProcessSourceTest, LeavesTheProcessAloneWhenDestroyed) {
  const auto process = start([] { pause(); });
  { const AdoptedProcessSource adopted(loop_, process, remember()); }
  EXPECT_EQ(waitpid(process.pid, nullptr, WNOHANG), 0);
  kill(process.pid, SIGKILL);
  waitpid(process.pid, nullptr, 0);
}

// Goal: the child's child outlives its parent and is reaped here, by its number and by how it ended; a child of the
// program's own is not taken away from its source.
TEST(OrphanReaperTest, ReapsOrphansAndLeavesOwnChildrenToTheirSources) {
  LoopManager loop;
  std::vector<OrphanReaper::Orphan> orphans;
  std::optional<ProcessSource> own;
  OrphanReaper reaper(
      loop, [&](pid_t pid) { return own && own->pid() == pid; },
      [&](const OrphanReaper::Orphan& orphan) { orphans.push_back(orphan); });
  std::optional<ProcessExit> own_exit;
  std::string orphans_pid;
  auto options = shell("sh -c 'sleep 0.2; exit 7' & echo $!; exit 3");
  options.output = ProcessStream::pipe();
  own.emplace(loop, options, [&](const ProcessExit& exit) { own_exit = exit; });
  LineSource lines(loop, own->take_output(), [&](const TextLine& line) { orphans_pid = line.text; });
  loop.hold();  // nobody else waits for orphans
  EXPECT_TRUE(run_until(loop, [&] { return own_exit && !orphans.empty(); }));
  loop.release();
  EXPECT_EQ(own_exit->code, 3);
  ASSERT_EQ(orphans.size(), 1);
  EXPECT_EQ(std::to_string(orphans[0].exit.pid), orphans_pid);
  EXPECT_EQ(orphans[0].exit.code, 7);
  ASSERT_TRUE(orphans[0].process);
  EXPECT_EQ(orphans[0].process->pid, orphans[0].exit.pid);
  EXPECT_GT(orphans[0].process->start_ticks, 0);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
}

}  // namespace
}  // namespace snowfox
