#include "process_child.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

// Everything here runs between fork and exec: only calls that are safe in a signal handler.
namespace snowfox {
namespace {

using Step = ChildFailure::Step;

void close_range_or_each(unsigned first, unsigned last, unsigned limit) noexcept {
  if (first > last || close_range(first, last, 0) == 0) return;
  for (unsigned fd = first; fd <= std::min(last, limit); ++fd) close(static_cast<int>(fd));
}

bool join_group(ProcessGroup group) noexcept {
  switch (group) {
    case ProcessGroup::New: return setpgid(0, 0) == 0;
    case ProcessGroup::NewSession: return setsid() >= 0;
    case ProcessGroup::Same: break;
  }
  return true;
}

// The C library's own calls for these reach for the other threads of the process. Here there are none, but it does not
// know.
ChildFailure become(const ChildPlan& plan) noexcept {
  const ProcessOptions& options = plan.options;
  if (plan.set_groups && syscall(SYS_setgroups, plan.groups.size(), plan.groups.data()) != 0) {
    return {Step::Groups, errno};
  }
  if (options.group && syscall(SYS_setresgid, *options.group, *options.group, *options.group) != 0) {
    return {Step::Group, errno};
  }
  if (options.user && syscall(SYS_setresuid, *options.user, *options.user, *options.user) != 0) {
    return {Step::User, errno};
  }
  if (options.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return {Step::NoNewPrivileges, errno};
  return {};
}

bool limit_descriptors(rlim_t count) noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  limit.rlim_cur = std::min(count, limit.rlim_max);
  return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

void reset_signals() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction by_default {};
    by_default.sa_handler = SIG_DFL;
    sigaction(signal, &by_default, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

// The parent has written down that this child exists, or it never comes to be.
void wait_at_gate(int gate) noexcept {
  char go = 0;
  ssize_t count = 0;
  while ((count = read(gate, &go, 1)) < 0 && errno == EINTR) {
  }
  if (count != 1) _exit(127);
}

// As a shell does: a file that may not be executed is passed over, but said if no other is found.
int execute(const ChildPlan& plan) noexcept {
  const bool one_file = plan.candidates.size() == 2;  // with the null
  int error = ENOENT;
  for (const char* candidate : plan.candidates) {
    if (candidate == nullptr) break;
    execve(candidate, const_cast<char* const*>(plan.arguments.data()),
           const_cast<char* const*>(plan.environment.data()));
    if (one_file) return errno;
    if (errno == EACCES) {
      if (access(candidate, F_OK) == 0) error = EACCES;  // not just a directory that may not be looked into
    } else if (errno != ENOENT && errno != ENOTDIR) {
      return errno;
    }
  }
  return error;
}

}  // namespace

ChildFailure run_child(const ChildPlan& plan) noexcept {
  const ProcessOptions& options = plan.options;
  if (!join_group(options.process_group)) return {Step::ProcessGroup, errno};
  for (const auto& [from, to] : plan.descriptors) {
    if (dup2(from, to) < 0) return {Step::Descriptors, errno};
  }
  for (const auto& [first, last] : plan.gaps) close_range_or_each(first, last, plan.descriptor_limit);
  if (plan.gate >= 0) wait_at_gate(plan.gate);

  if (const ChildFailure failure = become(plan); failure.error != 0) return failure;
  if (options.parent_death_signal != 0) {  // only now: a change of user cancels it
    if (prctl(PR_SET_PDEATHSIG, options.parent_death_signal) != 0) return {Step::ParentDeathSignal, errno};
    if (getppid() != plan.parent) _exit(127);  // it died before this was asked for
  }
  if (!options.working_directory.empty() && chdir(options.working_directory.c_str()) != 0) {
    return {Step::WorkingDirectory, errno};
  }
  if (options.descriptor_limit && !limit_descriptors(*options.descriptor_limit)) return {Step::DescriptorLimit, errno};
  reset_signals();
  return {Step::Execute, execute(plan)};
}

}  // namespace snowfox
