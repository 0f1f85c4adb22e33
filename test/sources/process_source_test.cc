#include <snowfox/sources/process_source.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/line_source.h>

#include "support/run_until.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ProcessOptions shell(const std::string& script) {
  ProcessOptions options;
  options.arguments = {"sh", "-c", script};
  return options;
}

std::set<int> open_descriptors() {
  std::set<int> open;
  for (int fd = 0; fd < 256; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) open.insert(fd);
  }
  return open;
}

bool has_children() { return waitpid(-1, nullptr, WNOHANG) != -1 || errno != ECHILD; }

std::string contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string error_of(LoopManager& loop, const ProcessOptions& options) {
  try {
    ProcessSource process(loop, options, [](const ProcessExit&) {});
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

class ProcessSourceTest : public testing::Test {
 protected:
  ProcessSource::Handler record() {
    return [this](const ProcessExit& exit) { exits_.push_back(exit); };
  }
  bool exited(std::size_t count = 1) {
    return run_until(loop_, [&] { return exits_.size() >= count; });
  }
  /// What the child writes to its output and returns 0.
  std::string output_of(ProcessOptions options) {
    options.output = ProcessStream::pipe();
    std::string output;
    bool ended = false;
    bool done = false;
    ProcessSource process(loop_, options, [&](const ProcessExit& exit) {
      EXPECT_TRUE(exit.success()) << exit.str();
      done = true;
    });
    LineSource lines(
        loop_, process.take_output(), [&](const TextLine& line) { output += line.text + "\n"; },
        [&](std::error_code) { ended = true; });
    EXPECT_TRUE(run_until(loop_, [&] { return done && ended; }));
    return output;
  }

  LoopManager loop_;
  std::vector<ProcessExit> exits_;
};

// --- how it ends ---

TEST_F(ProcessSourceTest, TellsTheExitCodeOnce) {
  ProcessSource process(loop_, shell("exit 3"), record());
  EXPECT_GT(process.pid(), 0);
  EXPECT_TRUE(process.running());
  EXPECT_EQ(loop_.run(), 0) << "after its end there is nothing to wait for";
  ASSERT_EQ(exits_.size(), 1U);
  EXPECT_EQ(exits_[0].pid, process.pid());
  EXPECT_EQ(exits_[0].code, 3);
  EXPECT_EQ(exits_[0].signal, std::nullopt);
  EXPECT_EQ(exits_[0].str(), "exit code 3");
  EXPECT_FALSE(exits_[0].success());
  EXPECT_FALSE(process.running());
  EXPECT_FALSE(process.signal(SIGTERM));
  EXPECT_FALSE(has_children());
}

TEST_F(ProcessSourceTest, TellsTheSignalThatEndedIt) {
  ProcessSource process(loop_, shell("kill -SEGV $$"), record());
  ASSERT_TRUE(exited());
  EXPECT_EQ(exits_[0].signal, SIGSEGV);
  EXPECT_EQ(exits_[0].code, std::nullopt);
  EXPECT_THAT(exits_[0].str(), HasSubstr("killed by SIGSEGV"));
}

TEST_F(ProcessSourceTest, TellsWhatItUsed) {
  ProcessSource process(loop_, shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"), record());
  ASSERT_TRUE(exited());
  EXPECT_GT(exits_[0].usage.ru_maxrss, 0);
  EXPECT_GT(exits_[0].usage.ru_utime.tv_sec * 1000000 + exits_[0].usage.ru_utime.tv_usec, 0);
}

// Goal: none is lost and none is told twice, however many end at once.
TEST_F(ProcessSourceTest, LosesNoneOfTwoHundredShortLives) {
  std::vector<std::unique_ptr<ProcessSource>> processes;
  std::set<pid_t> pids;
  for (int i = 0; i < 200; ++i) {
    ProcessOptions options;
    options.arguments = {i % 2 == 0 ? "true" : "false"};
    processes.push_back(std::make_unique<ProcessSource>(loop_, options, record()));
    pids.insert(processes.back()->pid());
  }
  EXPECT_EQ(loop_.run(), 0);
  EXPECT_EQ(exits_.size(), 200U);
  int successes = 0;
  for (const ProcessExit& exit : exits_) {
    pids.erase(exit.pid);
    successes += exit.success();
  }
  EXPECT_TRUE(pids.empty());
  EXPECT_EQ(successes, 100);
  EXPECT_FALSE(has_children());
}

TEST_F(ProcessSourceTest, MayBeDestroyedByItsHandler) {
  std::optional<ProcessSource> process;
  process.emplace(loop_, shell("exit 0"), [&](const ProcessExit& exit) {
    process.reset();
    exits_.push_back(exit);
  });
  EXPECT_EQ(loop_.run(), 0);
  EXPECT_EQ(exits_.size(), 1U);
}

TEST_F(ProcessSourceTest, SaysSoIfSomebodyElseHasWaitedForIt) {
  ProcessSource process(loop_, shell("exit 0"), record());
  ASSERT_EQ(waitpid(process.pid(), nullptr, 0), process.pid());
  ASSERT_TRUE(exited());
  EXPECT_EQ(exits_[0].str(), "unknown");
}

TEST_F(ProcessSourceTest, TellsTheExitOfAPausedSourceWhenResumed) {
  ProcessSource process(loop_, shell("exit 0"), record());
  process.pause();
  EXPECT_EQ(loop_.wait(std::chrono::milliseconds(50)), nullptr);
  process.resume();
  ASSERT_TRUE(exited());
}

// --- signals ---

TEST_F(ProcessSourceTest, SendsASignal) {
  ProcessSource process(loop_, shell("exec sleep 1000"), record());
  EXPECT_TRUE(process.signal(SIGTERM));
  ASSERT_TRUE(exited());
  EXPECT_EQ(exits_[0].signal, SIGTERM);
}

TEST_F(ProcessSourceTest, KnowsOfAnEndThatIsNotYetTold) {
  ProcessSource process(loop_, shell("exit 0"), record());
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(process.pid()), &info, WEXITED | WNOWAIT);
  EXPECT_FALSE(process.signal(SIGTERM));
  ASSERT_TRUE(exited());
}

TEST_F(ProcessSourceTest, SendsASignalToItsWholeGroup) {
  ProcessOptions options = shell("sleep 1000 & sleep 1000");
  options.process_group = ProcessGroup::New;
  options.output = ProcessStream::pipe();
  ProcessSource process(loop_, options, record());
  bool ended = false;  // the pipe ends when both have let go of it
  LineSource lines(
      loop_, process.take_output(), [](const TextLine&) {}, [&](std::error_code) { ended = true; });
  EXPECT_TRUE(process.signal_group(SIGTERM));
  EXPECT_TRUE(run_until(loop_, [&] { return ended && exits_.size() == 1; }));
}

// --- what is left behind ---

TEST_F(ProcessSourceTest, KillsARunningChildWhenDestroyed) {
  pid_t pid = 0;
  {
    ProcessSource process(loop_, shell("exec sleep 1000"), record());
    pid = process.pid();
  }
  EXPECT_EQ(kill(pid, 0), -1) << "the child lives, or was not reaped";
  EXPECT_FALSE(has_children());
  EXPECT_TRUE(exits_.empty());
}

TEST_F(ProcessSourceTest, KillsTheWholeGroupWhenDestroyed) {
  ProcessOptions options = shell("sleep 1000 & sleep 1000");
  options.process_group = ProcessGroup::NewSession;
  options.output = ProcessStream::pipe();
  bool ended = false;
  Descriptor output;
  {
    ProcessSource process(loop_, options, record());
    output = process.take_output();
  }
  LineSource lines(
      loop_, std::move(output), [](const TextLine&) {}, [&](std::error_code) { ended = true; });
  EXPECT_TRUE(run_until(loop_, [&] { return ended; }));
}

TEST_F(ProcessSourceTest, LeavesAChildRunningIfAskedTo) {
  ProcessOptions options = shell("exec sleep 1000");
  options.leave_running = true;
  pid_t pid = 0;
  {
    ProcessSource process(loop_, options, record());
    pid = process.pid();
  }
  EXPECT_EQ(kill(pid, 0), 0);
  kill(pid, SIGKILL);
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
}

TEST_F(ProcessSourceTest, ReapsAChildThatHasEndedEvenIfItWouldLeaveItRunning) {
  ProcessOptions options = shell("exit 0");
  options.leave_running = true;
  {
    ProcessSource process(loop_, options, record());
    siginfo_t info;
    waitid(P_PID, static_cast<id_t>(process.pid()), &info, WEXITED | WNOWAIT);
  }
  EXPECT_FALSE(has_children());
}

TEST_F(ProcessSourceTest, KillsItsChildWhenTheLoopThatOwnsItGoes) {
  pid_t pid = 0;
  {
    LoopManager loop;
    auto& process = loop.add(std::make_unique<ProcessSource>(loop, shell("exec sleep 1000"), record()));
    pid = process.pid();
  }
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST_F(ProcessSourceTest, TellsOfTheChildBeforeThatExecutesItsProgram) {
  auto options = shell("exit 3");
  pid_t told = 0;
  std::string program;
  options.before_execution = [&](pid_t pid) {
    told = pid;
    program = contents("/proc/" + std::to_string(pid) + "/comm");
  };
  const ProcessSource process(loop_, options, record());
  EXPECT_EQ(told, process.pid());
  EXPECT_EQ(program, contents("/proc/self/comm"));
  EXPECT_TRUE(run_until(loop_, [&] { return !exits_.empty(); }));
  EXPECT_EQ(exits_[0].code, 3);
}

TEST_F(ProcessSourceTest, ExecutesNothingIfTheChildCouldNotBeWrittenDown) {
  const TemporaryDirectory directory;
  const auto before = open_descriptors();
  auto options = shell("touch " + (directory / "executed"));
  options.before_execution = [](pid_t) { throw std::runtime_error("no space"); };
  EXPECT_THROW(ProcessSource(loop_, options, record()), std::runtime_error);
  EXPECT_FALSE(has_children());
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(access((directory / "executed").c_str(), F_OK), -1);
}

// Goal: a supervisor that is killed before it has written down what it starts leaves nothing that nobody knows of.
TEST_F(ProcessSourceTest, ExecutesNothingIfTheParentDiesBeforeItHasWrittenTheChildDown) {
  const TemporaryDirectory directory;
  const pid_t parent = fork();
  if (parent == 0) {
    LoopManager loop;
    auto options = shell("touch " + (directory / "executed"));
    options.before_execution = [](pid_t) { raise(SIGKILL); };
    ProcessSource process(loop, options, [](const ProcessExit&) {});
    _exit(1);
  }
  int status = 0;
  waitpid(parent, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(access((directory / "executed").c_str(), F_OK), -1);
}

TEST_F(ProcessSourceTest, EndsTheRestOfTheGroupWithTheChildIfAskedTo) {
  auto options = shell("sleep 1000 & echo $!; exit 0");
  options.process_group = ProcessGroup::New;
  options.end_group = true;
  options.output = ProcessStream::pipe();
  ProcessSource process(loop_, options, record());
  bool ended = false;
  std::string rest;
  LineSource lines(
      loop_, process.take_output(), [&](const TextLine& line) { rest = line.text; },
      [&](std::error_code) { ended = true; });
  EXPECT_TRUE(run_until(loop_, [&] { return ended && !exits_.empty(); })) << "the rest holds the pipe as it lives";
  EXPECT_FALSE(rest.empty());
}

TEST_F(ProcessSourceTest, LeaksNoDescriptors) {
  const std::set<int> before = open_descriptors();
  {
    LoopManager loop;
    const std::set<int> with_loop = open_descriptors();
    {
      ProcessOptions options = shell("exit 0");
      options.input = options.output = options.error = ProcessStream::pipe();
      ProcessSource process(loop, options, [](const ProcessExit&) {});
      loop.run();
      error_of(loop, {.arguments = {"/no/such/program"}, .output = ProcessStream::pipe()});
    }
    EXPECT_EQ(open_descriptors(), with_loop);
  }
  EXPECT_EQ(open_descriptors(), before);
}

// --- what cannot be started ---

TEST_F(ProcessSourceTest, NamesTheProgramThatIsNotThere) {
  try {
    ProcessSource process(loop_, {.arguments = {"/no/such/program", "--option"}}, record());
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_THAT(error.what(), HasSubstr("start /no/such/program: execute"));
  }
  EXPECT_FALSE(has_children());
  EXPECT_THAT(error_of(loop_, {.arguments = {"no-such-program-anywhere"}}), HasSubstr("No such file"));
}

TEST_F(ProcessSourceTest, NamesTheProgramThatMayNotBeExecuted) {
  TemporaryDirectory directory;
  std::ofstream(directory / "script") << "#!/bin/sh\n";
  EXPECT_THAT(error_of(loop_, {.arguments = {directory / "script"}}), HasSubstr("Permission denied"));
}

TEST_F(ProcessSourceTest, NamesTheWorkingDirectoryThatIsNotThere) {
  ProcessOptions options = shell("exit 0");
  options.working_directory = "/no/such/directory";
  EXPECT_THAT(error_of(loop_, options), HasSubstr("start sh: enter /no/such/directory: No such file"));
}

TEST_F(ProcessSourceTest, NamesTheFileThatCannotBeAppendedTo) {
  ProcessOptions options = shell("exit 0");
  options.output = ProcessStream::append_to("/no/such/directory/log");
  EXPECT_THAT(error_of(loop_, options), HasSubstr("open /no/such/directory/log: No such file"));
}

TEST_F(ProcessSourceTest, NamesTheDescriptorThatIsNotOpen) {
  ProcessOptions options = shell("exit 0");
  options.descriptors = {{9999, 3}};
  EXPECT_THAT(error_of(loop_, options), HasSubstr("pass descriptor 9999: Bad file descriptor"));
}

TEST_F(ProcessSourceTest, NamesTheUserItMayNotBecome) {
  if (geteuid() == 0) GTEST_SKIP() << "root may become anybody";
  ProcessOptions options = shell("exit 0");
  options.group = getgid();
  options.user = 0;
  EXPECT_THAT(error_of(loop_, options), HasSubstr("become user 0: Operation not permitted"));
}

TEST_F(ProcessSourceTest, RefusesOptionsThatMakeNoSense) {
  const auto start = [&](const ProcessOptions& options) { ProcessSource process(loop_, options, record()); };
  EXPECT_THROW(start({}), std::invalid_argument);
  EXPECT_THROW(start({.arguments = {""}}), std::invalid_argument);
  EXPECT_THROW(start({.arguments = {"true", std::string("a\0b", 3)}}), std::invalid_argument);
  EXPECT_THROW(start({.arguments = {"true"}, .environment = {"NAME"}}), std::invalid_argument);
  EXPECT_THROW(start({.arguments = {"true"}, .environment = {"=value"}}), std::invalid_argument);
  EXPECT_THROW(start({.arguments = {"true"}, .user = getuid()}), std::invalid_argument);
  EXPECT_THROW(start({.arguments = {"true"}, .input = ProcessStream::append_to("/dev/null")}), std::invalid_argument);
  EXPECT_THROW(start({.arguments = {"true"}, .output = ProcessStream::same_as_output()}), std::invalid_argument);
  EXPECT_THROW(start({.arguments = {"true"}, .descriptors = {{0, 2}}}), std::invalid_argument);
  EXPECT_THROW(start({.arguments = {"true"}, .descriptors = {{0, 4}, {1, 4}}}), std::invalid_argument);
}

TEST_F(ProcessSourceTest, RefusesToStartWhereExitsCannotBeSeen) {
  const auto before = std::signal(SIGCHLD, SIG_IGN);
  EXPECT_THAT(error_of(loop_, shell("exit 0")), HasSubstr("SIGCHLD is ignored"));
  std::signal(SIGCHLD, before);
}

// --- what the child finds ---

TEST_F(ProcessSourceTest, FindsItsProgramInThePathOfTheChild) {
  TemporaryDirectory directory;
  std::ofstream(directory / "our-program") << "#!/bin/sh\necho found\n";
  chmod((directory / "our-program").c_str(), 0755);
  EXPECT_EQ(output_of({.arguments = {"our-program"}, .environment = {"PATH=/no/such:" + directory.path()}}), "found\n");
}

TEST_F(ProcessSourceTest, MayCallItsProgramByAnotherName) {
  EXPECT_EQ(output_of({.arguments = {"other-name", "-c", "echo $0"}, .program = "/bin/sh"}), "other-name\n");
}

TEST_F(ProcessSourceTest, AddsToTheEnvironmentOrReplacesIt) {
  setenv("SNOWFOX_OLD", "old", 1);
  setenv("SNOWFOX_CHANGED", "old", 1);
  ProcessOptions options = shell("echo $SNOWFOX_OLD $SNOWFOX_CHANGED $SNOWFOX_NEW");
  options.environment = {"SNOWFOX_CHANGED=changed", "SNOWFOX_NEW=new=er"};
  EXPECT_EQ(output_of(options), "old changed new=er\n");
  options.inherit_environment = false;
  EXPECT_EQ(output_of(options), "changed new=er\n");
  EXPECT_EQ(output_of({.arguments = {"env"}, .inherit_environment = false, .environment = {"A=b"}}), "A=b\n");
}

TEST_F(ProcessSourceTest, EntersTheWorkingDirectory) {
  ProcessOptions options = shell("pwd");
  options.working_directory = "/usr";
  EXPECT_EQ(output_of(options), "/usr\n");
}

TEST_F(ProcessSourceTest, LimitsItsDescriptorsIfAskedTo) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  ProcessOptions options = shell("ulimit -Sn; ulimit -Hn");
  options.descriptor_limit = 100;
  const std::string hard = limit.rlim_max == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_max);
  EXPECT_EQ(output_of(options), "100\n" + hard + "\n");
  options.descriptor_limit = RLIM_INFINITY;
  EXPECT_EQ(output_of(options), hard + "\n" + hard + "\n") << "no more than it may";
}

TEST_F(ProcessSourceTest, HasNoDescriptorsButItsOwn) {
  std::array<int, 2> leaked{};
  ASSERT_EQ(pipe(leaked.data()), 0);  // not close-on-exec
  const int high = fcntl(leaked[0], F_DUPFD, 200);
  ProcessOptions options;
  options.arguments = {"ls", "/proc/self/fd"};  // which itself opens the directory, as 3
  EXPECT_EQ(output_of(options), "0\n1\n2\n3\n");
  options.descriptors = {{leaked[0], 7}, {leaked[1], 4}};
  EXPECT_EQ(output_of(options), "0\n1\n2\n3\n4\n7\n");
  for (const int fd : {leaked[0], leaked[1], high}) close(fd);
}

// Goal: numbers may be exchanged; neither overwrites the other before it is passed.
TEST_F(ProcessSourceTest, PassesDescriptorsAtTheNumbersAskedFor) {
  TemporaryDirectory directory;
  std::ofstream(directory / "a") << "a\n";
  std::ofstream(directory / "b") << "b\n";
  const int a = open((directory / "a").c_str(), O_RDONLY | O_CLOEXEC);
  const int b = open((directory / "b").c_str(), O_RDONLY | O_CLOEXEC);
  ProcessOptions options = shell("eval \"cat <&" + std::to_string(a) + "; cat <&" + std::to_string(b) + "\"");
  options.arguments[0] = "bash";
  options.descriptors = {{a, b}, {b, a}};
  EXPECT_EQ(output_of(options), "b\na\n");
  close(a);
  close(b);
}

TEST_F(ProcessSourceTest, ConnectsItsStreams) {
  TemporaryDirectory directory;
  ProcessOptions options = shell("cat; echo error >&2");
  options.input = options.output = ProcessStream::pipe();
  options.error = ProcessStream::append_to(directory / "log");
  std::ofstream(directory / "log") << "before\n";
  std::string output;
  bool ended = false;
  ProcessSource process(loop_, options, record());
  LineSource lines(
      loop_, process.take_output(), [&](const TextLine& line) { output = line.text; },
      [&](std::error_code) { ended = true; });
  {
    const Descriptor input = process.take_input();
    EXPECT_NE(fcntl(input.get(), F_GETFL) & O_NONBLOCK, 0);
    ASSERT_EQ(write(input.get(), "hello\n", 6), 6);
  }
  EXPECT_FALSE(process.take_input()) << "taken twice";
  ASSERT_TRUE(run_until(loop_, [&] { return ended && exits_.size() == 1; }));
  EXPECT_EQ(output, "hello");
  EXPECT_EQ(contents(directory / "log"), "before\nerror\n");
}

TEST_F(ProcessSourceTest, SendsItsErrorsWhereItsOutputGoes) {
  ProcessOptions options = shell("echo output; echo error >&2");
  options.error = ProcessStream::same_as_output();
  EXPECT_EQ(output_of(options), "output\nerror\n");
}

TEST_F(ProcessSourceTest, GivesAGivenDescriptorAndKeepsItOpen) {
  TemporaryDirectory directory;
  std::ofstream(directory / "input") << "given\n";
  const int input = open((directory / "input").c_str(), O_RDONLY | O_CLOEXEC);
  ProcessOptions options = shell("cat");
  options.input = ProcessStream::descriptor(input);
  EXPECT_EQ(output_of(options), "given\n");
  EXPECT_EQ(close(input), 0);
}

TEST_F(ProcessSourceTest, ReadsNothingUnlessGivenAnInput) { EXPECT_EQ(output_of(shell("cat; echo end")), "end\n"); }

TEST_F(ProcessSourceTest, HasNoSignalBlockedOrIgnored) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const auto handler = std::signal(SIGPIPE, SIG_IGN);
  const std::string status = output_of({.arguments = {"cat", "/proc/self/status"}});
  EXPECT_THAT(status, HasSubstr("SigBlk:\t0000000000000000"));
  EXPECT_THAT(status, HasSubstr("SigIgn:\t0000000000000000"));
  std::signal(SIGPIPE, handler);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(ProcessSourceTest, LeadsAGroupOrASessionIfAskedTo) {
  // Fields 5 and 6 of its stat are the process group and the session.
  ProcessOptions options = shell("set -- $(cat /proc/$$/stat); echo $(($5 == $$)) $(($6 == $$))");
  EXPECT_EQ(output_of(options), "0 0\n");
  options.process_group = ProcessGroup::New;
  EXPECT_EQ(output_of(options), "1 0\n");
  options.process_group = ProcessGroup::NewSession;
  EXPECT_EQ(output_of(options), "1 1\n");
}

TEST_F(ProcessSourceTest, RunsAsAnotherUserWithoutTheParentsGroups) {
  if (geteuid() != 0) GTEST_SKIP() << "only root may become somebody else";
  ProcessOptions options = shell("echo $(id -u) $(id -g) $(id -G)");
  options.user = 65534;
  options.group = 65533;
  EXPECT_EQ(output_of(options), "65534 65533 65533\n");
  options.groups = {1001, 1002};
  EXPECT_EQ(output_of(options), "65534 65533 65533 1001 1002\n");
}

TEST_F(ProcessSourceTest, CanGainNoPrivilegesIfAskedTo) {
  ProcessOptions options = shell("grep NoNewPrivs /proc/self/status");
  EXPECT_EQ(output_of(options), "NoNewPrivs:\t0\n");
  options.no_new_privileges = true;
  EXPECT_EQ(output_of(options), "NoNewPrivs:\t1\n");
}

TEST_F(ProcessSourceTest, DiesWithTheThreadThatStartedItIfAskedTo) {
  std::unique_ptr<LoopManager> loop;
  std::unique_ptr<ProcessSource> process;
  std::thread starter([&] {
    loop = std::make_unique<LoopManager>();
    ProcessOptions options = shell("exec sleep 1000");
    options.parent_death_signal = SIGUSR1;
    process = std::make_unique<ProcessSource>(*loop, options, record());
  });
  starter.join();
  ASSERT_TRUE(run_until(*loop, [&] { return exits_.size() == 1; }));
  EXPECT_EQ(exits_[0].signal, SIGUSR1);
}

// --- lines ---

TEST_F(ProcessSourceTest, GivesItsOutputLineByLine) {
  ProcessOptions options = shell("printf 'one\\n\\ntwo'; head -c 100 /dev/zero | tr '\\0' x; printf '\\nlast'");
  options.output = ProcessStream::pipe();
  ProcessSource process(loop_, options, record());
  std::vector<std::string> seen;
  std::optional<std::error_code> reason;
  LineSource lines(
      loop_, process.take_output(), [&](const TextLine& line) { seen.push_back(line.text + (line.cut ? "..." : "")); },
      [&](std::error_code error) { reason = error; }, 10);
  EXPECT_EQ(loop_.run(), 0) << "after both ends there is nothing to wait for";
  EXPECT_THAT(seen, ElementsAre("one", "", "twoxxxxxxx...", "last"));
  EXPECT_EQ(reason, make_error_code(Errc::EndOfStream));
}

}  // namespace
}  // namespace snowfox
