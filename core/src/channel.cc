#include <snowfox/core/channel.h>

#include <cerrno>

#include <snowfox/core/event_drain.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/fault_point.h>
#include <snowfox/core/loop_manager.h>

namespace snowfox {

std::shared_ptr<Channel> Channel::make(LoopManager& loop, Descriptor&& descriptor) {
  if (SNOWFOX_FAULT(ChannelMake)) throw std::system_error(ENOMEM, std::system_category(), "watch a descriptor");
  return std::make_shared<Channel>(Key(), loop, std::move(descriptor));
}

Channel::Channel(Key, LoopManager& loop, Descriptor&& descriptor)
    : PollTarget(descriptor.get()), poller_(loop.poller()) {
  poller_.watch(*this);
  descriptor_ = std::move(descriptor);
}

Channel::~Channel() {
  if (SNOWFOX_MUTANT(StaleWatch)) descriptor_.reset();
  poller_.unwatch(*this);
  if (SNOWFOX_MUTANT(LeakedDescriptor)) static_cast<void>(descriptor_.release());
  descriptor_.reset();
  if (!count_) return;
  --count_->open;
  if (count_->one_closed) count_->one_closed();
}

void Channel::count_in(std::shared_ptr<ConnectionCount> count) noexcept {
  count_ = std::move(count);
  ++count_->open;
}

void Channel::fail_source(std::error_code error) noexcept {
  if (source_ != nullptr) source_->fail(error);
}

Descriptor Channel::release() noexcept {
  poller_.unwatch(*this);
  set_fd(-1);
  want_read_ = want_write_ = false;
  return std::move(descriptor_);
}

void Channel::on_poll(bool readable, bool writable) noexcept {
  if (readable && source_ != nullptr) source_->on_readable();
  if (writable && drain_ != nullptr) drain_->on_writable();
}

bool Channel::set(bool read, bool write) noexcept {
  if (read == want_read_ && write == want_write_) return true;
  if (!descriptor_ || SNOWFOX_FAULT(ChannelInterest)) return false;
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
