#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/core/address.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>
#include <snowfox/promises/task.h>

#include "common/link.h"
#include "load/latencies.h"
#include "protocol/public_api.pb.h"

namespace snowfox::node {

/// What came of a load. Nothing is lost if all is connections, requests and answers.
struct LoadFigures {
  std::uint64_t connections = 0;
  std::uint64_t requests = 0;
  std::uint64_t answers = 0;
  std::uint64_t turned_away = 0;    ///< by a listener that comes and goes
  std::uint64_t refused = 0;        ///< could not connect to one that is always there, or were not introduced
  std::uint64_t lost = 0;           ///< requests that ended without their answer
  std::uint64_t wrong = 0;          ///< answers that were given twice, to no request, or to another one
  std::vector<std::string> errors;  ///< the first of them in words

  std::uint64_t failures() const noexcept { return refused + lost + wrong; }
};

/// One client of a node, whose answers are counted.
class LoadClient {
 public:
  using Message = public_api::Message;

  LoadClient(LoopManager& loop, LoadFigures& figures);
  ~LoadClient();

  /// Connects and introduces itself. Rejected if either fails.
  Promise<void> connect(const Address& address);
  /// Rejected with RemoteError if the node says no, with std::system_error if it says nothing.
  Promise<public_api::NodeInfoResponse> status(bool details);
  Promise<void> reload();
  bool connected() const noexcept { return ids_.has_value() && link_.is_open(); }

 private:
  Promise<Message> ask(Message message);

  LoopManager& loop_;
  LoadFigures& figures_;
  Link<Message> link_;
  std::optional<CorrelationIdGenerator> ids_;  // once introduced
};

/// Many clients of a node at once, all of them on one loop, each with something to ask all the time.
class NodeLoad {
 public:
  /// Whether clients may be turned away until they are introduced.
  enum class Listener : std::uint8_t { Stays, ComesAndGoes };

  /// `loop` must outlive it.
  explicit NodeLoad(LoopManager& loop) : loop_(loop) {}
  NodeLoad(const NodeLoad&) = delete;
  NodeLoad& operator=(const NodeLoad&) = delete;

  /// A client that stays, with `depth` requests under way; after each answer it waits for `pause`.
  void stay(const Address& address, unsigned depth, Duration pause = {});
  /// Connects, asks once, closes, waits for `pause`, and so on.
  void come_and_go(const Address& address, Listener listener, Duration pause = {});

  /// Nothing more is begun. done() once all that was is over.
  void finish() noexcept { finishing_ = true; }
  bool done() const noexcept { return active_ == 0; }
  /// Clients that stay and are connected and introduced.
  std::size_t staying() const noexcept { return staying_; }

  LoadFigures& figures() noexcept { return figures_; }
  Latencies& latencies() noexcept { return latencies_; }

 private:
  Task<> stay_on(Address address, unsigned depth, Duration pause);
  Task<> ask_on(LoadClient& client, unsigned number, Duration pause);
  Task<> come_and_go_on(Address address, Listener listener, Duration pause);
  Task<> ask_once(LoadClient& client, bool details);
  void failed(std::uint64_t& counter, std::string_view what, const std::exception_ptr& error);
  void run(Task<> task);

  LoopManager& loop_;
  LoadFigures figures_;
  Latencies latencies_;
  std::size_t active_ = 0;
  std::size_t staying_ = 0;
  bool finishing_ = false;
  std::list<Promise<void>> running_;  // dropping them ends what is under way
};

}  // namespace snowfox::node
