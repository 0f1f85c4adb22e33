#include "children.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace snowfox::appservice_bench {
namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::system_category(), what); }

}  // namespace

Shared& share_memory() {
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return *new (memory) Shared;
}

std::int64_t now_ns() noexcept {
  using namespace std::chrono;
  return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

Child::Child(const std::function<void()>& function) {
  std::fflush(stdout);
  pid_ = ::fork();
  if (pid_ < 0) fail("fork");
  if (pid_ > 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  int code = 0;
  try {
    function();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "appservice_bench: %s\n", error.what());
    code = 1;
  }
  // What the parent has begun is the parent's to end.
  ::_exit(code);
}

Child::~Child() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Child::check() {
  if (::waitpid(pid_, nullptr, WNOHANG) == 0) return;
  pid_ = 0;
  throw std::runtime_error("a process of the measurement has ended");
}

void Child::end(int signal) {
  if (signal != 0) ::kill(pid_, signal);
  int status = 0;
  if (::waitpid(pid_, &status, 0) < 0) fail("waitpid");
  pid_ = 0;
  if (status != 0) throw std::runtime_error("a process of the measurement has failed");
}

std::vector<double> in_child(const std::function<std::vector<double>()>& function) {
  std::array<int, 2> pipe{};
  if (::pipe(pipe.data()) != 0) fail("pipe");
  Child child([&] {
    const std::vector<double> values = function();
    const auto* bytes = reinterpret_cast<const char*>(values.data());
    for (std::size_t left = values.size() * sizeof(double); left > 0;) {
      const ssize_t written = ::write(pipe[1], bytes, left);
      if (written < 0) fail("write");
      bytes += written;
      left -= static_cast<std::size_t>(written);
    }
  });
  ::close(pipe[1]);
  std::vector<double> values;
  std::string bytes;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(pipe[0], buffer.data(), buffer.size())) > 0;) {
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::close(pipe[0]);
  child.end(0);
  values.resize(bytes.size() / sizeof(double));
  bytes.copy(reinterpret_cast<char*>(values.data()), values.size() * sizeof(double));
  return values;
}

void wait_for(Child& child, const std::function<bool()>& condition, int seconds) {
  const std::int64_t until = now_ns() + std::int64_t{seconds} * 1'000'000'000;
  while (!condition()) {
    child.check();
    if (now_ns() > until) throw std::runtime_error("a process of the measurement takes too long");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace snowfox::appservice_bench
