#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>

#include <snowfox/core/address.h>
#include <snowfox/core/channel.h>
#include <snowfox/core/event.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/io.h>

namespace tally {

/// A UDP socket bound to `address`. Throws std::system_error naming the port if that cannot be had.
snowfox::Descriptor bind_datagram_socket(snowfox::Io& io, const snowfox::Address& address);

/// The datagrams that come to a socket, each as an event.
class DatagramSource final : public snowfox::EventSource {
 public:
  /// What is longer is cut to one byte more, so that `make_event` can tell.
  static constexpr std::size_t kMaxBytes = 512;
  /// Makes the event of a datagram; must not give null. The text is valid during the call only.
  using MakeEvent = std::function<snowfox::EventRef(std::string_view datagram)>;

  /// `socket` must be non-blocking. Throws std::system_error if it cannot be watched.
  DatagramSource(snowfox::LoopManager& loop, snowfox::Descriptor socket, MakeEvent make_event);

  snowfox::EventRef parse() override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override { return "datagrams on descriptor " + std::to_string(fd()); }

 private:
  void on_pause_changed() noexcept override;
  void on_removed() noexcept override;
  void fail(std::error_code error) noexcept override;

  MakeEvent make_event_;
  snowfox::ChannelRef channel_;  // null once removed
};

}  // namespace tally
