#pragma once

#include <snowfox/core/address.h>
#include <snowfox/core/channel.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>

namespace snowfox::node {

/// A connection to `address`; rejected with std::system_error that names the address if there is none within `timeout`.
/// Dropping the promise gives up.
Promise<ChannelRef> connect(LoopManager& loop, const Address& address, Duration timeout);

}  // namespace snowfox::node
