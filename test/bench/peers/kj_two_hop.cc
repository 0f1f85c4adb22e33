// kj_two_hop (--tcp PORT | --unix PATH) (--back-tcp PORT | --back-unix PATH): passes what clients ask on to an echo
// server, and its answers back to who has asked, on KJ: a promise for each request, found by correlation id in a
// HashMap, with 30 seconds to be fulfilled in.
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <kj/async-io.h>
#include <kj/map.h>

#include "echo_work.h"
#include "listen.h"

namespace snowfox::peers {
namespace {

using Answer = std::unique_ptr<Envelope>;

/// Both directions of a connection. Writes are collected: at the end of a turn of the event loop they go together.
class Link final : public kj::Refcounted, private kj::TaskSet::ErrorHandler {
 public:
  explicit Link(kj::Own<kj::AsyncIoStream> stream) : stream_(kj::mv(stream)), writing_(*this) {}

  /// Calls `handle(message bytes)` for each message until the connection ends or it says false.
  template <typename Handle>
  kj::Promise<void> read(Handle handle) {
    const std::span<char> room = input_.room();
    return stream_->tryRead(room.data(), 1, room.size())
        .then([this, handle = kj::mv(handle)](std::size_t count) mutable -> kj::Promise<void> {
          if (count == 0) return kj::READY_NOW;
          const std::size_t used = for_each_frame(input_.received(count), handle);
          if (used == kMalformed) return kj::READY_NOW;
          input_.used(used);
          return read(kj::mv(handle));
        });
  }

  void say(const Envelope& message) {
    append_frame(message, output_);
    if (busy_) return;
    busy_ = true;
    writing_.add(kj::evalLast([this] { return write(); }));
  }

 private:
  kj::Promise<void> write() {
    if (output_.empty()) {
      busy_ = false;
      return kj::READY_NOW;
    }
    sent_.clear();
    sent_.swap(output_);
    return stream_->write(sent_.data(), sent_.size()).then([this] { return write(); });
  }
  void taskFailed(kj::Exception&&) override { output_.clear(); }

  kj::Own<kj::AsyncIoStream> stream_;
  OwnInput input_;
  Bytes output_;
  Bytes sent_;
  bool busy_ = false;
  kj::TaskSet writing_;
};

class Front final : private kj::TaskSet::ErrorHandler {
 public:
  Front(kj::Timer& timer, kj::Own<kj::ConnectionReceiver> listener, kj::Own<kj::AsyncIoStream> back)
      : timer_(timer), listener_(kj::mv(listener)), back_(kj::refcounted<Link>(kj::mv(back))), tasks_(*this) {}

  kj::Promise<void> run() {
    return accept().exclusiveJoin(back_->read([this](std::span<const char> bytes) { return on_answer(bytes); }));
  }

 private:
  kj::Promise<void> accept() {
    return listener_->accept().then([this](kj::Own<kj::AsyncIoStream> stream) {
      auto client = kj::refcounted<Link>(kj::mv(stream));
      auto reading = client->read([this, &link = *client](std::span<const char> bytes) { return ask(link, bytes); });
      tasks_.add(reading.attach(kj::mv(client)));
      return accept();
    });
  }

  bool ask(Link& client, std::span<const char> bytes) {
    if (!parse(bytes, request_)) return false;
    const std::string& text = request_.correlation_id();
    auto pair = kj::newPromiseAndFulfiller<Answer>();
    bool duplicate = false;
    waiting_.upsert(
        kj::heapString(text.data(), text.size()), kj::mv(pair.fulfiller),
        [&](kj::Own<kj::PromiseFulfiller<Answer>>&, kj::Own<kj::PromiseFulfiller<Answer>>&&) { duplicate = true; });
    if (duplicate) return false;
    back_->say(request_);
    tasks_.add(timer_.timeoutAfter(30 * kj::SECONDS, kj::mv(pair.promise))
                   .then([this, link = kj::addRef(client)](Answer answer) mutable {
                     link->say(*answer);
                     spare_ = std::move(answer);
                   }));
    return true;
  }

  bool on_answer(std::span<const char> bytes) {
    Answer answer = spare_ != nullptr ? std::move(spare_) : std::make_unique<Envelope>();
    if (!parse(bytes, *answer)) return false;
    const std::string& text = answer->correlation_id();
    KJ_IF_MAYBE (entry, waiting_.findEntry(kj::StringPtr(text.c_str(), text.size()))) {
      entry->value->fulfill(std::move(answer));
      waiting_.erase(*entry);
    }
    return true;
  }

  // Of a request that was not answered in time, or of a client that has left.
  void taskFailed(kj::Exception&&) override {}

  kj::Timer& timer_;
  kj::Own<kj::ConnectionReceiver> listener_;
  kj::Own<Link> back_;
  kj::HashMap<kj::String, kj::Own<kj::PromiseFulfiller<Answer>>> waiting_;
  Envelope request_;
  Answer spare_;
  kj::TaskSet tasks_;
};

void serve(const ServerOptions& options) {
  using Provider = kj::LowLevelAsyncIoProvider;
  constexpr unsigned kOwned = Provider::TAKE_OWNERSHIP | Provider::ALREADY_CLOEXEC;
  kj::AsyncIoContext io = kj::setupAsyncIo();
  auto back = io.lowLevelProvider->wrapSocketFd(connect_to(options.back), kOwned);
  auto listener =
      io.lowLevelProvider->wrapListenSocketFd(listen_at(options, "kj_two_hop"), kOwned | Provider::ALREADY_NONBLOCK);
  Front front(io.provider->getTimer(), kj::mv(listener), kj::mv(back));
  front.run().wait(io.waitScope);
  throw std::runtime_error("the back is gone");
}

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) { return snowfox::peers::run_server(argc, argv, "kj_two_hop", snowfox::peers::serve); }
