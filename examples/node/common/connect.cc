#include "common/connect.h"

#include <memory>
#include <system_error>
#include <utility>

#include <snowfox/sources/connector_source.h>

namespace snowfox::node {

Promise<ChannelRef> connect(LoopManager& loop, const Address& address, Duration timeout) {
  auto [promise, resolver] = make_promise<ChannelRef>(loop);
  // Shared only because a std::function must be one that can be copied.
  auto shared = std::make_shared<Resolver<ChannelRef>>(std::move(resolver));
  const auto done = [shared, address](std::error_code error, ChannelRef channel) {
    if (error) {
      shared->reject(std::system_error(error, "connect to " + address.str()));
    } else {
      shared->resolve(std::move(channel));
    }
  };
  auto& connector = loop.add(std::make_unique<ConnectorSource>(loop, address, timeout, done));
  shared->on_cancel([&loop, id = connector.id()] { loop.remove(id); });
  return std::move(promise);
}

}  // namespace snowfox::node
