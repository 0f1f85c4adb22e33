#pragma once

#include <string>

#include <snowfox/core/io.h>

namespace snowfox::node {

/// The way of a daemon into the background (daemon(7)): a process of its own session, without a terminal. Who started
/// it waits until it knows whether that went well, so its exit code tells.
class Background {
 public:
  /// Forks: this returns in the daemon alone. The process that was started ends with 0 when ready() is called; with 1,
  /// after writing why to stderr, when failed() is, or when the daemon ends without either.
  /// Standard streams that are a terminal become /dev/null; those that were redirected stay.
  /// Throws std::system_error if there cannot be another process.
  static Background enter();

  void ready() noexcept;
  /// False if nobody waits any more.
  bool failed(const std::string& reason) noexcept;

 private:
  explicit Background(Descriptor report) : report_(std::move(report)) {}
  Descriptor report_;  // whoever started us reads its other end
};

}  // namespace snowfox::node
