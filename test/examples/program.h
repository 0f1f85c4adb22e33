#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <snowfox/core/io.h>

#include "support/temporary_directory.h"

namespace snowfox {

inline std::string contents(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A program that runs; at the end of the test it does not. The test reads its standard output.
class Program {
 public:
  Program(const std::string& program, std::vector<std::string> arguments) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe");
    output_ = Descriptor(Io::system(), ends[0]);
    const Descriptor writer(Io::system(), ends[1]);

    std::string path = std::string(SNOWFOX_PROGRAM_DIRECTORY "/") + program;
    std::vector<char*> argv{path.data()};
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    const int error = posix_spawn(&process_, path.c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::system_error(error, std::system_category(), path);
  }
  ~Program() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    wait();
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// The next line it prints; what is left when it has ended.
  std::string line() {
    std::string text;
    for (char next = 0; ::read(output_.get(), &next, 1) == 1 && next != '\n';) text += next;
    return text;
  }
  /// What it has said on stderr.
  std::string errors() const { return contents(errors_); }

  pid_t process() const noexcept { return process_; }
  void signal(int number) const { ::kill(process_, number); }
  int terminate() {
    signal(SIGTERM);
    return wait();
  }
  /// Its exit code, as wait() gives it, if it has ended.
  std::optional<int> ended() {
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT);
    if (info.si_pid == 0) return std::nullopt;
    return wait();
  }
  /// Its exit code; 128 and the signal if one has ended it.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(process_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  TemporaryDirectory directory_;
  std::string errors_ = directory_ / "stderr";
  Descriptor output_;
  pid_t process_ = -1;
};

/// The exit code of a program that cannot do what it is to, and what it says on stderr.
inline std::pair<int, std::string> refusal(const std::string& name, std::vector<std::string> arguments) {
  Program program(name, std::move(arguments));
  const int exit_code = program.wait();
  return {exit_code, program.errors()};
}

}  // namespace snowfox
