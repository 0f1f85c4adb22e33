#include <snowfox/core/channel.h>

#include <cerrno>

#include <snowfox/core/event_drain.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/fault_point.h>
#include <snowfox/core/loop_manager.h>

namespace snowfox {

ChannelRef Channel::make(LoopManager& loop, Descriptor&& descriptor) {
  if (SNOWFOX_FAULT(ChannelMake)) throw std::system_error(ENOMEM, std::system_category(), "watch a descriptor");
  return ChannelRef(new Channel(loop, std::move(descriptor)));
}

Channel::Channel(LoopManager& loop, Descriptor&& descriptor)
    : PollTarget(descriptor.get()), io_(&descriptor.io()), poller_(loop.poller()) {
  poller_.watch(*this);
  static_cast<void>(descriptor.release());
}

Channel::~Channel() {
  if (SNOWFOX_MUTANT(StaleWatch)) Descriptor(*io_, fd()).reset();
  Descriptor descriptor = release();
  if (SNOWFOX_MUTANT(StaleWatch) || SNOWFOX_MUTANT(LeakedDescriptor)) static_cast<void>(descriptor.release());
  descriptor.reset();
  if (!count_) return;
  --count_->open;
  if (count_->one_closed) count_->one_closed();
}

void Channel::count_in(ConnectionCountRef count) noexcept {
  count_ = std::move(count);
  ++count_->open;
}

void Channel::fail_source(std::error_code error) noexcept {
  if (source_ != nullptr) source_->fail(error);
}

Descriptor Channel::release() noexcept {
  poller_.unwatch(*this);
  want_read_ = want_write_ = false;
  const int fd = this->fd();
  set_fd(-1);
  return {*io_, fd};
}

void Channel::on_poll(bool readable, bool writable) noexcept {
  if (readable && source_ != nullptr) source_->on_readable();
  if (writable && drain_ != nullptr) drain_->on_writable();
}

bool Channel::set(bool read, bool write) noexcept {
  if (read == want_read_ && write == want_write_) return true;
  if (fd() < 0 || SNOWFOX_FAULT(ChannelInterest)) return false;
  try {
    poller_.set_interest(*this, read, write);
  } catch (const std::exception&) {
    return false;
  }
  want_read_ = read;
  want_write_ = write;
  return true;
}

}  // namespace snowfox
