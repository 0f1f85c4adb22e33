#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include <snowfox/core/event_drain.h>
#include <snowfox/core/id.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/proto_buf_source.h>

#include "common/message.h"
#include "manager/configuration.h"
#include "manager/request_history.h"
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
  /// One, or all if `id` is empty. Throws RemoteError if there is no such service, as the three below.
  virtual std::vector<public_api::Service> services(const std::string& id) const = 0;
  /// `version` must be the configured one, or empty. Settled when it runs, or does not.
  /// `origin` is the request because of which, here and below.
  virtual Promise<void> start_service(const std::string& id, const std::string& version,
                                      const CorrelationId& origin) = 0;
  virtual Promise<void> stop_service(const std::string& id, const CorrelationId& origin) = 0;
  virtual Promise<void> restart_service(const std::string& id, const CorrelationId& origin) = 0;
  /// What `id` waits for; without one, what all do.
  virtual public_api::ExplainResponse explain(const CorrelationId& id) = 0;
  /// What all processes know of the request `about`, in no particular order; asked under `id`, within `timeout`.
  virtual Promise<public_api::Trace> trace(const CorrelationId& about, const CorrelationId& id, Duration timeout) = 0;
  /// Reads the configuration again; the Error if it is refused.
  virtual std::optional<Error> reload(const CorrelationId& id) = 0;
  /// Ends the node. Settled when that has begun.
  virtual Promise<void> shut_down(const CorrelationId& id) = 0;
};

/// The clients of a node: who they are, what they ask, what they are answered.
class PublicApi {
 public:
  using Message = public_api::Message;

  /// All must outlive it. Clients are numbered from `first_client` on.
  PublicApi(LoopManager& loop, NodeRequests& node, std::uint64_t first_client = 1);
  ~PublicApi();

  /// From now on; clients that are connected stay. `configuration` must outlive the API, or the next call.
  void set(const ApiConfiguration& configuration) noexcept;
  /// While `drain` is congested no client is listened to: what they ask would go there.
  void pause_for(DrainId drain) noexcept { upstream_ = drain; }
  /// Takes a new client, or refuses it when it introduces itself.
  void accept(const ListenerSource::Connection& connection);
  /// How sockets for clients are to be made.
  static ListenerOptions listener_options(const ApiConfiguration& configuration);

  /// Tells the clients that watch it.
  void tell(const public_api::Service& service, bool removed);
  /// Tells those that were too slow what they have missed, if they can be told by now.
  void catch_up();
  /// How many are watched, by all clients.
  std::size_t watches() const noexcept { return watches_; }

  /// All but the addresses.
  void describe(public_api::Api& api) const;

 private:
  /// A service, or all of them.
  struct Watch {
    CorrelationId correlation_id;
    std::set<std::string> missed;  // have changed while the client was too slow
  };
  struct Client {
    std::string id;
    DrainId drain = kNoDrain;
    std::map<std::string, Watch> watches{};  // by the service's id; of all, empty
    bool introduced = false;
    std::optional<Error> refusal;  // set: this is what it is told, whatever it asks
  };

  std::optional<Error> find_refusal(const ListenerSource::Connection& connection) const;
  void asked(MessageEvent<Message>& request);
  void dispatch(MessageEvent<Message>& request, Client& client);
  void introduce(MessageEvent<Message>& request, Client& client);
  void send_details(MessageEvent<Message>& request);
  void shut_down(MessageEvent<Message>& request, const Client& client);
  void explain(MessageEvent<Message>& request);
  void trace(MessageEvent<Message>& request);
  void send_answer(MessageEvent<Message>& request, const Message& answer);
  void answer_later(MessageEvent<Message>& request, Promise<Message> answer);
  Duration time_for_others(const MessageEvent<Message>& request) const;
  void act(MessageEvent<Message>& request, Promise<void> done, const std::string& service);
  void send_services(MessageEvent<Message>& request, const std::string& service);
  void watch(MessageEvent<Message>& request, Client& client);
  void send_event(ProtoBufDrain& drain, const Watch& watch, const public_api::Service& service, bool removed);
  void refuse(MessageEvent<Message>& request, Error error);
  void refuse_connection(MessageEvent<Message>& request);
  bool refuse_id(const Message& message, std::string_view reason, ProtoBufDrain* drain);
  void closed(SourceId source, std::error_code reason);

  LoopManager& loop_;
  NodeRequests& node_;
  const ApiConfiguration* configuration_;
  RequestHistory history_;
  Watermarks watermarks_;
  ProtoBufProtocol<Message> served_;
  ProtoBufProtocol<Message> refused_;
  DrainId upstream_ = kNoDrain;
  std::unordered_map<SourceId, Client> clients_;
  std::size_t served_clients_ = 0;
  std::size_t watches_ = 0;
  std::uint64_t next_client_;
  std::uint64_t accepted_ = 0;
  std::uint64_t refused_clients_ = 0;
  std::uint64_t requests_ = 0;
  std::uint64_t errors_ = 0;
};

}  // namespace snowfox::node
