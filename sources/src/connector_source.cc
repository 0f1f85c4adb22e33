#include <snowfox/sources/connector_source.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/event_drain.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>

namespace snowfox {
namespace {

/// A Unix listener whose backlog is full says so at once instead of letting wait.
constexpr Duration kBacklogRetry = std::chrono::milliseconds(10);

class ConnectedEvent final : public Event {
 public:
  ConnectedEvent(ConnectorSource::OnDone on_done, std::error_code error, ChannelRef channel)
      : on_done_(std::move(on_done)), error_(error), channel_(std::move(channel)) {}
  void handle() override { on_done_(error_, std::move(channel_)); }

 private:
  ConnectorSource::OnDone on_done_;
  std::error_code error_;
  ChannelRef channel_;
};

}  // namespace

/// Is told when the socket is writable, which is when the connection stands or has failed; and when time is up.
struct ConnectorSource::Attempt final : Timer, PollTarget {
  Attempt(ConnectorSource& source, TimePoint give_up) : connector(source), deadline(give_up) {}

  ConnectorSource& connector;
  TimePoint deadline;
  Descriptor descriptor;
  std::unique_ptr<PollHandle> handle;

  void on_poll(bool, bool) noexcept override {
    const std::error_code error = descriptor.io().connect_result(descriptor.get());
    if (error == std::errc::operation_in_progress) return;  // told too early
    handle.reset();
    connector.done(error);
  }

 private:
  void expire() noexcept override {
    if (connector.loop().now() >= deadline) return connector.done(Errc::DeadlineExceeded);
    connector.begin();
  }
};

ConnectorSource::ConnectorSource(LoopManager& loop, const Address& address, Duration timeout, OnDone on_done)
    : EventSource(loop),
      address_(address),
      on_done_(std::move(on_done)),
      attempt_(std::make_unique<Attempt>(*this, deadline_after(loop.now(), timeout))) {
  begin();
}

ConnectorSource::~ConnectorSource() = default;

void ConnectorSource::begin() noexcept {
  Io& io = loop().io();
  const int fd = io.connect(address_);
  if (fd == -EAGAIN) {
    loop().arm(*attempt_, std::min(attempt_->deadline, loop().now() + kBacklogRetry));
    return;
  }
  if (fd < 0) return done({-fd, std::system_category()});
  attempt_->descriptor = Descriptor(io, fd);
  try {
    attempt_->handle = loop().poller().watch(fd, *attempt_);
    attempt_->handle->set_interest(false, true);
  } catch (const std::system_error& error) {
    return done(error.code());
  }
  loop().arm(*attempt_, attempt_->deadline);
}

void ConnectorSource::done(std::error_code error) noexcept {
  done_ = true;
  error_ = error;
  attempt_->disarm();
  attempt_->handle.reset();
  ready_to_end();
}

EventRef ConnectorSource::parse() {
  if (!done_) return nullptr;
  ChannelRef channel;
  try {
    if (!error_) channel = Channel::make(loop(), std::move(attempt_->descriptor));
  } catch (const std::system_error& error) {
    error_ = error.code();
  }
  auto event = std::make_unique<ConnectedEvent>(std::move(on_done_), error_, std::move(channel));
  loop().remove(id());
  return event;
}

}  // namespace snowfox
