#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <functional>
#include <string>
#include <system_error>

namespace snowfox {

/// What `function` returns, called in a child process: for what cannot be undone in this one.
inline std::string in_child(const std::function<std::string()>& function) {
  int ends[2];
  if (::pipe(ends) != 0) throw std::system_error(errno, std::system_category(), "pipe");
  const pid_t child = ::fork();
  if (child == 0) {
    const int out = ::fcntl(ends[1], F_DUPFD, 200);  // out of the way of descriptors that have a meaning by number
    std::string told;
    try {
      told = function();
    } catch (const std::exception& error) {
      told = std::string("threw ") + error.what();
    }
    const ssize_t written = ::write(out, told.data(), told.size());
    ::_exit(written == static_cast<ssize_t>(told.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string told;
  char part[4096];
  for (ssize_t count = 0; (count = ::read(ends[0], part, sizeof part)) > 0;)
    told.append(part, static_cast<std::size_t>(count));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return status == 0 ? told : "ended with status " + std::to_string(status);
}

}  // namespace snowfox
