#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <system_error>

#include <snowfox/core/channel.h>
#include <snowfox/core/event_drain.h>

namespace tally {

/// Appends to a file, with one write a turn. If that fails, the loop ends with exit code 1.
class JournalDrain final : public snowfox::EventDrain {
 public:
  /// Makes the file, for its user to write and its group to read, if it is not there. `watermarks` must outlive the
  /// drain; null: its own. Throws std::system_error naming the file if it cannot be opened.
  JournalDrain(snowfox::LoopManager& loop, const std::string& path, const snowfox::Watermarks* watermarks = nullptr);

  using EventDrain::enqueue;
  void enqueue(std::span<const std::byte> bytes) override;
  bool flush() override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override { return "journal " + path_; }

 private:
  void on_removed() noexcept override;
  void fail(std::error_code error) noexcept override;

  std::string path_;
  std::string waiting_;          // pending_bytes() of them
  snowfox::ChannelRef channel_;  // null once removed
};

}  // namespace tally
