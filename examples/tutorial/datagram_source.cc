#include "datagram_source.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include <snowfox/core/loop_manager.h>

namespace tally {

snowfox::Descriptor bind_datagram_socket(snowfox::Io& io, const snowfox::Address& address) {
  snowfox::Descriptor socket(io, ::socket(address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket || ::bind(socket.get(), address.data(), address.size()) != 0) {
    throw std::system_error(errno, std::system_category(), "bind UDP port " + std::to_string(address.port()));
  }
  return socket;
}

DatagramSource::DatagramSource(snowfox::LoopManager& loop, snowfox::Descriptor socket, MakeEvent make_event)
    : EventSource(loop), make_event_(std::move(make_event)), channel_(snowfox::Channel::make(loop, std::move(socket))) {
  channel_->set_source(this);
  if (!channel_->watch_read(true)) throw std::system_error(EIO, std::system_category(), "watch a datagram socket");
}

snowfox::EventRef DatagramSource::parse() {
  std::array<std::byte, kMaxBytes + 1> bytes;
  const ssize_t size = channel_->io().receive(channel_->fd(), bytes);
  if (size == -EAGAIN) return nullptr;
  if (size < 0) throw std::system_error(static_cast<int>(-size), std::system_category(), "receive a datagram");
  return make_event_({reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(size)});
}

void DatagramSource::on_pause_changed() noexcept {
  if (channel_) channel_->watch_read(!paused());
}

void DatagramSource::on_removed() noexcept { channel_.reset(); }

void DatagramSource::fail(std::error_code) noexcept {
  loop().remove(id());
  // A daemon that hears nothing any more should not look alive.
  loop().stop(1);
}

}  // namespace tally
