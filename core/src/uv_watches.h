#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <snowfox/core/io.h>
#include <snowfox/core/poller.h>

namespace snowfox {

/// The descriptors watched, each registered with an epoll set under its target.
///
/// What is no longer wanted stays asked for until the kernel tells it: so a source may pause and resume, a drain wait
/// and go on, without a system call. A hang-up is told whatever was asked for: what nobody wants anything of leaves the
/// set then, until it is wanted again.
///
/// All that may fail throws std::system_error.
class UvPoller::Watches {
 public:
  Watches();

  int fd() const noexcept { return set_.get(); }
  /// Another loop's descriptor: collect() says when it has something.
  void add_loop(int fd);

  void watch(PollTarget& target);
  void set_interest(PollTarget& target, bool readable, bool writable);
  void unwatch(PollTarget& target) noexcept;

  /// Tells what there is, once there is something, for so long at most. True if the other loop has something, too.
  bool collect(Duration timeout);
  /// Tells what is always ready and wanted; false if there is nothing such.
  bool tell_always_ready() noexcept;

 private:
  static constexpr std::size_t kBatch = 512;

  /// 0, or why the kernel refuses.
  int change(int how, PollTarget& target, unsigned asked) noexcept;
  void tell(PollTarget& target, std::uint32_t events) noexcept;
  void lower(PollTarget& target) noexcept;

  Descriptor set_;
  // What epoll refuses: regular files, /dev/null. Null: ended while others were told.
  std::vector<PollTarget*> always_ready_;
  std::array<epoll_event, kBatch> batch_;
  std::size_t count_ = 0;
  std::size_t next_ = 0;  // the first of the batch that is still to be told
};

}  // namespace snowfox
