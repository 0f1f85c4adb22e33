#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>

#include <snowfox/core/event_drain.h>
#include <snowfox/core/id.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/proto_buf_source.h>

#include "common/message.h"
#include "manager/configuration.h"
#include "protocol/public_api.pb.h"

namespace snowfox::node {

/// What clients may ask of the node: what this answers itself, it does not ask for.
class NodeRequests {
 public:
  virtual ~NodeRequests() = default;
  virtual std::string node_name() const = 0;
  virtual public_api::NodeInfoResponse node_info() = 0;
  /// The same with details, for which others must be asked; within `timeout`.
  virtual Promise<public_api::NodeInfoResponse> detailed_node_info(const CorrelationId& id, Duration timeout) = 0;
  /// What `id` waits for; without one, what all do.
  virtual public_api::ExplainResponse explain(const CorrelationId& id) = 0;
  /// Reads the configuration again; the Error if it is refused.
  virtual std::optional<Error> reload(const CorrelationId& id) = 0;
};

/// The clients of a node: who they are, what they ask, what they are answered.
class PublicApi {
 public:
  using Message = public_api::Message;

  /// All must outlive it.
  PublicApi(LoopManager& loop, NodeRequests& node);
  ~PublicApi();

  /// From now on; clients that are connected stay. `configuration` must outlive the API, or the next call.
  void set(const ApiConfiguration& configuration) noexcept;
  /// While `drain` is congested no client is listened to: what they ask would go there.
  void pause_for(DrainId drain) noexcept { upstream_ = drain; }
  /// Takes a new client, or refuses it when it introduces itself.
  void accept(const ListenerSource::Connection& connection);
  /// How sockets for clients are to be made.
  static ListenerOptions listener_options(const ApiConfiguration& configuration);

  /// All but the addresses.
  void describe(public_api::Api& api) const;

 private:
  struct Client {
    std::string id;
    bool introduced = false;
    std::optional<Error> refusal;  // set: this is what it is told, whatever it asks
  };

  std::optional<Error> find_refusal(const ListenerSource::Connection& connection) const;
  void asked(MessageEvent<Message>& request);
  void dispatch(MessageEvent<Message>& request, Client& client);
  void introduce(MessageEvent<Message>& request, Client& client);
  void send_details(MessageEvent<Message>& request);
  void explain(MessageEvent<Message>& request);
  void refuse(MessageEvent<Message>& request, Error error);
  void refuse_connection(MessageEvent<Message>& request);
  bool refuse_id(const Message& message, std::string_view reason, ProtoBufDrain* drain);
  void closed(SourceId source, std::error_code reason);

  LoopManager& loop_;
  NodeRequests& node_;
  const ApiConfiguration* configuration_;
  Watermarks watermarks_;
  ProtoBufProtocol<Message> served_;
  ProtoBufProtocol<Message> refused_;
  DrainId upstream_ = kNoDrain;
  std::unordered_map<SourceId, Client> clients_;
  std::size_t served_clients_ = 0;
  std::uint64_t last_client_ = 0;
  std::uint64_t accepted_ = 0;
  std::uint64_t refused_clients_ = 0;
  std::uint64_t requests_ = 0;
  std::uint64_t errors_ = 0;
};

}  // namespace snowfox::node
