#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <system_error>

#include <snowfox/core/address.h>
#include <snowfox/core/channel.h>
#include <snowfox/core/event_source.h>

namespace snowfox {

/// Connects to an address, once, and then tells how it went and leaves its loop. Destroying it before that gives up and
/// tells nothing.
class ConnectorSource final : public EventSource {
 public:
  /// Called once: with a channel and no error, or without a channel and why.
  using OnDone = std::function<void(std::error_code, ChannelRef)>;

  /// Never throws for what the network says: all that goes to `on_done`, Errc::DeadlineExceeded after `timeout` too.
  ConnectorSource(LoopManager& loop, const Address& address, Duration timeout, OnDone on_done);
  ~ConnectorSource() override;

  EventRef parse() override;
  std::string name() const override { return "connector " + address_.str(); }

 private:
  struct Attempt;
  class Connected;
  void begin() noexcept;
  void done(std::error_code error) noexcept;

  Address address_;
  std::unique_ptr<Connected> connected_;  // null once told
  std::unique_ptr<Attempt> attempt_;
  bool done_ = false;
};

}  // namespace snowfox
