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

}  // namespace

/// Made with the connector: that it has failed is told also when there is no memory, perhaps for that very reason.
class ConnectorSource::Connected final : public Event {
 public:
  explicit Connected(OnDone on_done) : on_done_(std::move(on_done)) {}
  void handle() override { on_done_(error, std::move(channel)); }

  std::error_code error;
  ChannelRef channel;

 private:
  OnDone on_done_;
};

/// Is told when the socket is writable, which is when the connection stands or has failed; and when time is up.
struct ConnectorSource::Attempt final : Timer, PollTarget {
  Attempt(ConnectorSource& source, TimePoint give_up) : connector(source), deadline(give_up) {}
  ~Attempt() { unwatch(); }

  ConnectorSource& connector;
  TimePoint deadline;
  Descriptor descriptor;

  void watch() {
    set_fd(descriptor.get());
    connector.loop().poller().watch(*this);
    connector.loop().poller().set_interest(*this, false, true);
  }
  void unwatch() noexcept { connector.loop().poller().unwatch(*this); }

  void on_poll(bool, bool) noexcept override {
    const std::error_code error = descriptor.io().connect_result(descriptor.get());
    if (error == std::errc::operation_in_progress) return;  // told too early
    unwatch();
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
      connected_(std::make_unique<Connected>(std::move(on_done))),
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
    attempt_->watch();
  } catch (const std::exception&) {
    return done(code_of(std::current_exception()));
  }
  loop().arm(*attempt_, attempt_->deadline);
}

void ConnectorSource::done(std::error_code error) noexcept {
  done_ = true;
  connected_->error = error;
  attempt_->disarm();
  attempt_->unwatch();
  ready_to_end();
}

EventRef ConnectorSource::parse() {
  if (!done_) return nullptr;
  try {
    if (!connected_->error) connected_->channel = Channel::make(loop(), std::move(attempt_->descriptor));
  } catch (const std::exception&) {
    connected_->error = code_of(std::current_exception());
  }
  loop().remove(id());
  return std::move(connected_);
}

}  // namespace snowfox
