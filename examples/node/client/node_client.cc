#include "client/node_client.h"

#include <utility>

#include <fmt/format.h>

#include <snowfox/core/error.h>

#include "client/message_text.h"
#include "common/build_version.h"
#include "common/connect.h"
#include "common/duration.h"

namespace snowfox::node {
namespace {

/// Enough for all that --repeat asks for at once.
constexpr PromiseKeeperOptions kKeeping{.max_kept = 2'000'000};

}  // namespace

NodeClient::NodeClient(LoopManager& loop, const Address& address, Duration timeout, OnLost on_lost)
    : loop_(loop),
      address_(address),
      timeout_(timeout),
      link_(
          loop, "node",
          [](MessageEvent<Message>& request) {
            request.answer(make_refusal<Message>(request.correlation_id(), not_a_request(request.message())));
          },
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
  });
}

Promise<NodeClient::Message> NodeClient::ask(Message message) {
  if (!connected()) return rejected<Message>(loop_, std::make_error_code(std::errc::not_connected));
  return link_.ask(std::move(message), {.deadline = timeout_, .id = ids_->next()});
}

Promise<public_api::NodeInfoResponse> NodeClient::status(bool details) {
  auto message = make_message<Message>(Message::kNodeInfoRequest, {});
  message.mutable_node_info_request()->set_details(details);
  return ask(std::move(message)).then([](Message&& answer) { return std::move(*answer.mutable_node_info_response()); });
}

Promise<void> NodeClient::reload() {
  auto message = make_message<Message>(Message::kReload, {});
  message.mutable_reload();
  return ask(std::move(message)).then([](const Message&) {});
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
