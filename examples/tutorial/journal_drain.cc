#include "journal_drain.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include <snowfox/core/loop_manager.h>

namespace tally {
namespace {

constexpr snowfox::Watermarks kWatermarks{.high = 64U << 10, .low = 16U << 10};

snowfox::Descriptor open_journal(snowfox::Io& io, const std::string& path) {
  constexpr int kFlags = O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  snowfox::Descriptor file(io, ::open(path.c_str(), kFlags, 0640));
  if (!file) throw std::system_error(errno, std::system_category(), "open journal " + path);
  return file;
}

// The disk was full, or the power went, in the middle of a line.
bool ends_in_half_a_line(int file) {
  char last = '\n';
  return ::lseek(file, -1, SEEK_END) >= 0 && ::read(file, &last, 1) == 1 && last != '\n';
}

}  // namespace

JournalDrain::JournalDrain(snowfox::LoopManager& loop, const std::string& path, const snowfox::Watermarks* watermarks)
    : EventDrain(loop, watermarks != nullptr ? watermarks : &kWatermarks),
      path_(path),
      channel_(snowfox::Channel::make(loop, open_journal(loop.io(), path))) {
  channel_->set_drain(this);
  if (ends_in_half_a_line(fd())) EventDrain::enqueue("\n");
}

void JournalDrain::enqueue(std::span<const std::byte> bytes) {
  if (!channel_) return refused(bytes.size());
  waiting_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  added(bytes.size());
}

bool JournalDrain::flush() {
  if (empty()) return true;
  const iovec waiting{waiting_.data(), waiting_.size()};
  const ssize_t written = channel_->io().write(channel_->fd(), {&waiting, 1});
  if (written < 0 && written != -EAGAIN) {
    throw std::system_error(static_cast<int>(-written), std::system_category(), "write journal");
  }
  if (written > 0) {
    waiting_.erase(0, static_cast<std::size_t>(written));
    removed(static_cast<std::size_t>(written));
  }
  channel_->watch_write(!empty());
  return empty();
}

void JournalDrain::on_removed() noexcept { channel_.reset(); }

void JournalDrain::fail(std::error_code) noexcept {
  loop().remove(id());
  // Better no counts than counts that are in no journal.
  loop().stop(1);
}

}  // namespace tally
