#pragma once

#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include <snowfox/core/address.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/trail.h>
#include <snowfox/promises/promise.h>

#include "client/call.h"
#include "common/link.h"
#include "protocol/public_api.pb.h"

namespace snowfox::node {

/// A request was not answered in time.
class NoAnswer : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A client's connection to a node.
class NodeClient {
 public:
  using Message = public_api::Message;
  /// The connection, which stood, is over; all that was asked is rejected.
  using OnLost = std::function<void(std::error_code)>;
  /// The node tells of what is watched: by a Call::Kind::Watch with this id.
  using OnEvent = std::function<void(const std::string& watched, const public_api::Event&)>;

  /// `timeout`: how long to wait for the connection, and for each answer. `loop` must outlive it.
  NodeClient(LoopManager& loop, const Address& address, Duration timeout, OnLost on_lost);

  /// Without it events are ignored.
  void set_on_event(OnEvent on_event) { on_event_ = std::move(on_event); }

  /// Connects and introduces itself. Rejected if there is no node, with what to tell the user. May be called again
  /// after the connection was lost.
  Promise<void> connect();
  bool connected() const noexcept { return ids_.has_value() && link_.is_open(); }
  const Address& address() const noexcept { return address_; }
  const std::string& node_name() const noexcept { return node_name_; }
  const std::string& client_id() const noexcept { return client_id_; }

  /// The answer to what `call` asks of the node, which fits it. Rejected with RemoteError if the node says no, with
  /// NoAnswer if it says nothing in time, with std::system_error if the connection is lost or there is none. A no ends
  /// with the request's id, by which the node knows more (Call::Kind::Trace).
  Promise<Message> ask(const Call& call);

 private:
  void receive(MessageEvent<Message>& unasked);
  [[noreturn]] void fail(const CorrelationId& id, const std::exception_ptr& error);
  Promise<void> introduce();

  LoopManager& loop_;
  Trail trail_;
  Address address_;
  Duration timeout_;
  OnEvent on_event_;
  Link<Message> link_;
  std::optional<CorrelationIdGenerator> ids_;   // once introduced
  std::map<std::string, std::string> watched_;  // over this connection: by the request's correlation id
  unsigned explained_ = 0;                      // requests that timed out
  std::string client_id_;
  std::string node_name_;
};

/// What to tell the user of an error that a request ended with; `timeout` is what was waited.
std::string tell(const std::exception_ptr& error, Duration timeout);

}  // namespace snowfox::node
