#include "client/node_client.h"

#include <utility>

#include <fmt/format.h>

#include <snowfox/core/error.h>
#include <snowfox/core/explanation.h>

#include "client/call_meaning.h"
#include "client/message_text.h"
#include "common/build_version.h"
#include "common/connect.h"
#include "common/duration.h"

namespace snowfox::node {
namespace {

/// More than a script may ask for at once.
constexpr PromiseKeeperOptions kKeeping{.max_kept = 2'000'000};

/// Of so many requests that time out the steps are told.
constexpr unsigned kExplained = 10;

}  // namespace

NodeClient::NodeClient(LoopManager& loop, const Address& address, Duration timeout, OnLost on_lost)
    : loop_(loop),
      trail_(loop),
      address_(address),
      timeout_(timeout),
      link_(
          loop, "node", [this](MessageEvent<Message>& unasked) { receive(unasked); },
          [this, on_lost = std::move(on_lost)](std::error_code reason) {
            if (std::exchange(ids_, std::nullopt)) on_lost(reason);
          },
          kKeeping) {}

Promise<void> NodeClient::connect() {
  return node::connect(loop_, address_, timeout_)
      .then([this](const ChannelRef& channel) {
        link_.close();
        link_.open(channel);
        return introduce();
      })
      .otherwise([this](const std::exception_ptr& error) {
        try {
          std::rethrow_exception(error);
        } catch (const RemoteError& refusal) {
          throw std::runtime_error(fmt::format("{}: {}", address_.str(), printable(refusal.what())));
        } catch (const std::invalid_argument& nonsense) {
          throw std::runtime_error(
              fmt::format("{}: no node that can be talked with: {}", address_.str(), nonsense.what()));
        } catch (const std::system_error& failure) {
          throw std::runtime_error(fmt::format("cannot reach a node at {}: {}", address_.str(),
                                               failure.code() == Errc::DeadlineExceeded
                                                   ? "no answer within " + to_text(timeout_)
                                                   : failure.code().message()));
        }
      });
}

Promise<void> NodeClient::introduce() {
  auto message = make_message<Message>(Message::kIntroduceRequest, {});
  *message.mutable_introduce_request()->mutable_version() = build_version();
  return link_.ask(std::move(message), {.deadline = timeout_}).then([this](const Message& answer) {
    client_id_ = answer.introduce_response().client_id();
    node_name_ = answer.introduce_response().node_name();
    ids_.emplace(std::string_view(client_id_));
    watched_.clear();
  });
}

Promise<NodeClient::Message> NodeClient::ask(const Call& call) {
  if (!connected()) return rejected<Message>(loop_, std::make_error_code(std::errc::not_connected));
  const CorrelationId id = ids_->next();
  if (call.kind == Call::Kind::Watch) watched_[id.str()] = call.id;
  return link_.ask(request_of(call), {.deadline = timeout_, .id = id})
      .then([this, call, id](Message&& answer) {
        if (!fits(answer, call)) throw std::runtime_error("the answer is another request's");
        // The node knows one watch of each, the last.
        if (call.kind == Call::Kind::Watch) {
          std::erase_if(watched_, [&](const auto& one) { return one.second == call.id && one.first != id.str(); });
        }
        return std::move(answer);
      })
      .otherwise([this, id](const std::exception_ptr& error) -> Message { fail(id, error); });
}

void NodeClient::fail(const CorrelationId& id, const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const RemoteError& refusal) {
    throw RemoteError(make_error(refusal.code(), fmt::format("{} (request {})", refusal.what(), id.text())));
  } catch (const std::system_error& failure) {
    if (failure.code() != Errc::DeadlineExceeded) throw;
    // How far it came; with a million of them under way, of the first few.
    if (explained_ == kExplained) throw NoAnswer("no answer within " + to_text(timeout_));
    ++explained_;
    throw NoAnswer(fmt::format("no answer within {} ({}: {})", to_text(timeout_), id.text(), loop_.explain(id).str()));
  }
}

// The node asks its clients nothing, so what comes under the id of a request is its answer, whatever its code is
// called.
void NodeClient::receive(MessageEvent<Message>& unasked) {
  if (unasked.message().has_event()) {
    const auto watched = watched_.find(unasked.correlation_id().str());
    if (on_event_ && watched != watched_.end()) on_event_(watched->second, unasked.message().event());
    return;
  }
  const public_api::Code code = unasked.message().code();
  const std::runtime_error reason(
      fmt::format("code {} ({}) is no answer: only ACK, ERROR and what ends in _RESPONSE is one",
                  static_cast<int>(code), public_api::Code_Name(code)));
  if (link_.reject(unasked.correlation_id(), std::make_exception_ptr(reason))) return;
  unasked.answer(make_refusal<Message>(unasked.correlation_id(), not_a_request(unasked.message())));
}

std::string tell(const std::exception_ptr& error, Duration timeout) {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& failure) {
    if (failure.code() == Errc::DeadlineExceeded) return "no answer within " + to_text(timeout);
    if (failure.code() == std::errc::not_connected) return "not connected to a node";
    return failure.what();
  } catch (...) {
    return describe(error);
  }
}

}  // namespace snowfox::node
