#include "load/node_load.h"

#include <chrono>
#include <exception>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/promises/sleep.h>

#include "common/connect.h"
#include "common/message.h"

namespace snowfox::node {
namespace {

/// Only what has gone wrong takes so long.
constexpr Duration kPatience = std::chrono::seconds(40);
constexpr std::size_t kErrorsTold = 10;
/// Every so manieth request is one for which the manager asks the spawner.
constexpr std::uint64_t kDetailsEvery = 8;

}  // namespace

LoadClient::LoadClient(LoopManager& loop, LoadFigures& figures)
    : loop_(loop),
      figures_(figures),
      link_(
          loop, "node", [&figures](MessageEvent<Message>&) { ++figures.wrong; }, [](std::error_code) {}) {}

// An answer that nobody waited for was to a request that had been answered, or to none.
LoadClient::~LoadClient() { figures_.wrong += link_.keeper().counters().orphans; }

Promise<void> LoadClient::connect(const Address& address) {
  return node::connect(loop_, address, kPatience)
      .then([this](const ChannelRef& channel) {
        link_.open(channel);
        auto message = make_message<Message>(Message::kIntroduceRequest, {});
        message.mutable_introduce_request();
        return link_.ask(std::move(message), {.deadline = kPatience});
      })
      .then([this](const Message& answer) {
        ids_.emplace(std::string_view(answer.introduce_response().client_id()));
        ++figures_.connections;
      });
}

Promise<LoadClient::Message> LoadClient::ask(Message message) {
  if (!connected()) return rejected<Message>(loop_, std::make_error_code(std::errc::not_connected));
  ++figures_.requests;
  return link_.ask(std::move(message), {.deadline = kPatience, .id = ids_->next()});
}

Promise<public_api::NodeInfoResponse> LoadClient::status(bool details) {
  auto message = make_message<Message>(Message::kNodeInfoRequest, {});
  message.mutable_node_info_request()->set_details(details);
  return ask(std::move(message)).then([this, details](Message&& answer) {
    ++figures_.answers;
    if (!answer.has_node_info_response() || answer.node_info_response().has_details() != details) ++figures_.wrong;
    return std::move(*answer.mutable_node_info_response());
  });
}

Promise<void> LoadClient::reload() {
  auto message = make_message<Message>(Message::kReload, {});
  message.mutable_reload();
  return ask(std::move(message))
      .otherwise([this](const std::exception_ptr& error) -> Message {
        try {
          std::rethrow_exception(error);
        } catch (const RemoteError&) {
          ++figures_.answers;
          throw;
        }
      })
      .then([this](const Message& answer) {
        ++figures_.answers;
        if (!answer.has_ack()) ++figures_.wrong;
      });
}

void NodeLoad::failed(std::uint64_t& counter, std::string_view what, const std::exception_ptr& error) {
  ++counter;
  if (figures_.errors.size() < kErrorsTold) figures_.errors.push_back(std::string(what) + ": " + describe(error));
}

void NodeLoad::run(Task<> task) {
  ++active_;
  running_.push_back(std::move(task).promise(loop_).finally([this] { --active_; }));
}

void NodeLoad::stay(const Address& address, unsigned depth, Duration pause) { run(stay_on(address, depth, pause)); }

void NodeLoad::come_and_go(const Address& address, Listener listener, Duration pause) {
  run(come_and_go_on(address, listener, pause));
}

Task<> NodeLoad::stay_on(Address address, unsigned depth, Duration pause) {
  LoadClient client(loop_, figures_);
  try {
    co_await client.connect(address);
  } catch (...) {
    failed(figures_.refused, "connect to " + address.str(), std::current_exception());
    co_return;
  }
  ++staying_;
  std::vector<Task<>> asking;
  for (unsigned i = 0; i < depth; ++i) asking.push_back(ask_on(client, i, pause));
  for (Task<>& one : asking) co_await std::move(one);
  --staying_;
}

Task<> NodeLoad::ask_on(LoadClient& client, unsigned number, Duration pause) {
  while (!finishing_ && client.connected()) {
    co_await ask_once(client, ++number % kDetailsEvery == 0);
    if (pause > Duration::zero()) co_await sleep(loop_, pause);
  }
}

Task<> NodeLoad::come_and_go_on(Address address, Listener listener, Duration pause) {
  for (std::uint64_t round = 1; !finishing_; ++round) {
    LoadClient client(loop_, figures_);
    std::exception_ptr error;
    try {
      co_await client.connect(address);
    } catch (...) {
      error = std::current_exception();
    }
    if (error == nullptr) {
      co_await ask_once(client, round % kDetailsEvery == 0);
    } else if (listener == Listener::ComesAndGoes) {
      ++figures_.turned_away;
      // It is not there: asking again at once would only take the time of those that are.
      co_await sleep(loop_, std::chrono::milliseconds(2));
    } else {
      failed(figures_.refused, "connect to " + address.str(), error);
    }
    if (pause > Duration::zero()) co_await sleep(loop_, pause);
  }
}

Task<> NodeLoad::ask_once(LoadClient& client, bool details) {
  const TimePoint asked = loop_.now();
  try {
    co_await client.status(details);
    latencies_.add(loop_.now() - asked);
  } catch (...) {
    failed(figures_.lost, "request", std::current_exception());
  }
}

}  // namespace snowfox::node
