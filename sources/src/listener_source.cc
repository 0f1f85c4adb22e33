#include <snowfox/sources/listener_source.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>

namespace snowfox {
namespace {

constexpr std::string_view kComponent = "listener";
constexpr Duration kRetry = std::chrono::milliseconds(100);

class ConnectionEvent final : public Event {
 public:
  ConnectionEvent(std::shared_ptr<const ListenerSource::OnConnection> on_connection,
                  ListenerSource::Connection connection)
      : on_connection_(std::move(on_connection)), connection_(std::move(connection)) {}
  void handle() override { (*on_connection_)(std::move(connection_)); }

 private:
  std::shared_ptr<const ListenerSource::OnConnection> on_connection_;
  ListenerSource::Connection connection_;
};

/// The socket file of `address`, if there is one.
std::optional<std::pair<dev_t, ino_t>> file_of(const Address& address) noexcept {
  struct stat status {};
  if (address.path().empty() || ::lstat(address.path().data(), &status) != 0 || !S_ISSOCK(status.st_mode)) {
    return std::nullopt;
  }
  return std::pair(status.st_dev, status.st_ino);
}

}  // namespace

struct ListenerSource::Retry final : Timer {
  explicit Retry(ListenerSource& listener) : listener_(listener) {}

 private:
  void expire() noexcept override { listener_.watch(); }
  ListenerSource& listener_;
};

ListenerSource::ListenerSource(LoopManager& loop, const Address& address, const ListenerOptions& options,
                               OnConnection on_connection)
    : EventSource(loop),
      address_(address),
      options_(options),
      on_connection_(std::make_shared<const OnConnection>(std::move(on_connection))),
      count_(new ConnectionCount),
      channel_(Channel::make(loop, loop.io().listen(address, options))),
      retry_(std::make_unique<Retry>(*this)) {
  begin();
}

ListenerSource::ListenerSource(LoopManager& loop, Handover from, const ListenerOptions& options,
                               OnConnection on_connection)
    : EventSource(loop),
      address_(from.address),
      options_(options),
      on_connection_(std::make_shared<const OnConnection>(std::move(on_connection))),
      count_(from.connections ? std::move(from.connections) : ConnectionCountRef(new ConnectionCount)),
      channel_(Channel::make(loop, std::move(from.descriptor))),
      retry_(std::make_unique<Retry>(*this)),
      remove_file_(from.remove_file) {
  begin();
}

ListenerSource::~ListenerSource() { close(); }

void ListenerSource::begin() {
  channel_->set_source(this);
  file_ = file_of(address_);
  // Whoever closes a connection may be in the middle of anything: look again soon, not now.
  count_->one_closed = [this] {
    if (channel_) loop().arm(*retry_, Duration::zero());
  };
  watch();
}

Address ListenerSource::local_address() const { return loop().io().local_address(fd()); }

void ListenerSource::watch() noexcept {
  if (channel_) channel_->watch_read(!paused() && !full() && !retry_->armed());
}

ListenerSource::Handover ListenerSource::hand_over() noexcept {
  Handover handover{channel_ ? channel_->release() : Descriptor(), address_, count_, remove_file_};
  count_->one_closed = nullptr;
  channel_.reset();
  retry_->disarm();
  return handover;
}

void ListenerSource::close() noexcept {
  if (!channel_) return;
  // First the file, then the socket: in the other order another process might have made the file its own in between.
  if (remove_file_ && file_ && file_ == file_of(address_)) ::unlink(address_.path().data());
  channel_->set_source(nullptr);
  count_->one_closed = nullptr;
  retry_->disarm();
  channel_.reset();
}

void ListenerSource::set_max_connections(std::size_t limit) noexcept {
  options_.max_connections = limit;
  watch();
}

void ListenerSource::pause_for_descriptors(int error) noexcept {
  if (!std::exchange(said_exhausted_, true)) {
    log_if_possible([&] {
      loop().log().warning(kComponent, "no resources to accept connections: paused, those who connect wait",
                           {{"address", address_.str()},
                            {"error", std::generic_category().message(error)},
                            {"connections", count_->open}});
    });
  }
  loop().arm(*retry_, kRetry);
  watch();
}

EventRef ListenerSource::parse() {
  while (channel_) {
    if (full()) {
      if (!std::exchange(said_full_, true)) {
        log_if_possible([&] {
          loop().log().warning(kComponent, "connection limit reached: further ones wait",
                               {{"address", address_.str()}, {"connections", count_->open}});
        });
      }
      watch();
      return nullptr;
    }
    said_full_ = false;
    Connection connection;
    const int accepted = loop().io().accept(channel_->fd(), connection.peer);
    if (accepted >= 0) {
      try {
        connection.channel = Channel::make(loop(), Descriptor(loop().io(), accepted));
        connection.channel->count_in(count_);
        EventRef event = std::make_unique<ConnectionEvent>(on_connection_, std::move(connection));
        said_exhausted_ = false;
        ++accepted_;
        return event;
      } catch (const std::exception&) {
        pause_for_descriptors(code_of(std::current_exception()).value());
        return nullptr;
      }
    }
    switch (-accepted) {
      case EAGAIN: return nullptr;
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM: pause_for_descriptors(-accepted); return nullptr;
      case EBADF:
      case EINVAL:
      case ENOTSOCK:
      case EOPNOTSUPP: throw std::system_error(-accepted, std::system_category(), "accept on " + address_.str());
      default: continue;  // that connection was gone before it was accepted: accept(2) passes on its network errors
    }
  }
  return nullptr;
}

}  // namespace snowfox
