#pragma once

#include <google/protobuf/message.h>

#include <array>
#include <climits>
#include <csignal>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/timer.h>
#include <snowfox/drains/proto_buf_drain.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/proto_buf_source.h>

#include "common/connect.h"
#include "common/message.h"
#include "fuzz/fuzz.h"
#include "protocol/daemon_manager.pb.h"
#include "protocol/daemon_spawner.pb.h"
#include "protocol/manager_spawner.pb.h"
#include "simulation/node_world.h"
#include "support/framed.h"

// A node of which one part is whom the others trust, and says whatever an input tells it to: bytes that are no frames,
// frames that are no messages, messages that make no sense, or that come when nobody expects them.

namespace snowfox::node {

class Rubbish {
 public:
  explicit Rubbish(FuzzInput& input) : input_(input) {}

  /// One payload of those that `message` may have, filled in some way, with the code that belongs to it.
  template <typename Message>
  void fill(Message& message) {
    const auto& payloads = *Message::descriptor()->FindOneofByName("payload");
    const auto& payload = *payloads.field(input_.byte() % payloads.field_count());
    fill(*message.GetReflection()->MutableMessage(&message, &payload), 0);
    message.GetReflection()->SetEnumValue(&message, Message::descriptor()->FindFieldByName("code"), payload.number());
  }

 private:
  using Field = google::protobuf::FieldDescriptor;

  void fill(google::protobuf::Message& message, int depth) {
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const Field& field = *message.GetDescriptor()->field(i);
      for (int times = input_.byte() % (field.is_repeated() ? 4 : 2); times > 0; --times) set(message, field, depth);
    }
  }
  void set(google::protobuf::Message& message, const Field& field, int depth) {
    const auto& how = *message.GetReflection();
    const bool more = field.is_repeated();
    switch (field.cpp_type()) {
      case Field::CPPTYPE_INT32: {
        const auto value = static_cast<std::int32_t>(number());
        return more ? how.AddInt32(&message, &field, value) : how.SetInt32(&message, &field, value);
      }
      case Field::CPPTYPE_UINT32: {
        const auto value = static_cast<std::uint32_t>(number());
        return more ? how.AddUInt32(&message, &field, value) : how.SetUInt32(&message, &field, value);
      }
      case Field::CPPTYPE_UINT64: {
        const auto value = static_cast<std::uint64_t>(number());
        return more ? how.AddUInt64(&message, &field, value) : how.SetUInt64(&message, &field, value);
      }
      case Field::CPPTYPE_BOOL: return how.SetBool(&message, &field, true);
      case Field::CPPTYPE_ENUM: return how.SetEnumValue(&message, &field, static_cast<int>(number()));
      case Field::CPPTYPE_STRING:
        return more ? how.AddString(&message, &field, text()) : how.SetString(&message, &field, text());
      case Field::CPPTYPE_MESSAGE: {
        constexpr int kDeepest = 3;
        if (depth == kDeepest) return;
        auto& part = *(more ? how.AddMessage(&message, &field) : how.MutableMessage(&message, &field));
        return fill(part, depth + 1);
      }
      default: break;
    }
  }
  std::int64_t number() {
    constexpr std::array<std::int64_t, 10> kNumbers{
        0, 1, -1, SIGKILL, SIGTERM, 100'000, INT_MAX, INT_MIN, std::numeric_limits<std::int64_t>::max(), 3};
    const std::uint8_t which = input_.byte();
    return which < kNumbers.size() ? kNumbers[which] : which;
  }
  std::string text() {
    constexpr std::array<std::string_view, 10> kTexts{"steady", "crashing", "/usr/bin/steady", "",  "../../x",
                                                      "A=b",    "/",        "x/y\nz",          ".", "new"};
    const std::uint8_t which = input_.byte();
    if (which < kTexts.size()) return std::string(kTexts[which]);
    if (which == kTexts.size()) return std::string(100'000, 'x');
    return std::string(input_.bytes(which % 32));
  }

  FuzzInput& input_;
};

/// One connection of a hostile part.
template <typename Message>
class HostileLink {
 public:
  explicit HostileLink(LoopManager& loop)
      : loop_(loop), protocol_([this](MessageEvent<Message>& event) { received(event); }) {
    protocol_.on_refused = [](const Message&, std::string_view, ProtoBufDrain*) { return true; };
  }
  ~HostileLink() { close(); }
  HostileLink(const HostileLink&) = delete;
  HostileLink& operator=(const HostileLink&) = delete;

  /// What a sound part would answer; true if it was answered.
  std::function<bool(MessageEvent<Message>&)> soundly;

  void open(const ChannelRef& channel) {
    close();
    connection_ = connect_proto_buf(loop_, channel, protocol_);
  }
  void close() {
    loop_.remove(connection_.source);
    loop_.remove(connection_.drain);
    connection_ = {kNoSource, kNoDrain};
  }
  bool is_open() const { return loop_.drain(connection_.drain) != nullptr; }
  void send(const Message& message) {
    if (auto* drain = loop_.fetch<ProtoBufDrain>(connection_.drain)) drain->enqueue(message);
  }

  void act(FuzzInput& input) {
    const std::uint8_t how = input.byte();
    Message message;
    message.set_correlation_id((how & 0x40) != 0 ? "client-1/1~" + std::to_string(how) : "rubbish");
    switch (how % 8) {
      case 0:
      case 1:
      case 2: Rubbish(input).fill(message); break;
      case 3:
      case 4:
        // An answer, or not, to what was asked.
        Rubbish(input).fill(message);
        if (!asked_.empty()) message.set_correlation_id(asked_[input.byte() % asked_.size()]);
        break;
      case 5: message.ParsePartialFromString(std::string(input.bytes(input.byte()))); break;
      case 6: return send_bytes(framed(input.bytes(input.byte())));
      default:
        if ((how & 0x80) != 0) return close();
        return send_bytes(std::string(input.bytes(input.byte())));
    }
    if ((how & 0x20) != 0) message.set_timeout_ms(input.byte());
    const int times = (how & 0x80) != 0 ? 40 : 1;
    for (int i = 0; i < times; ++i) send(message);
  }

 private:
  void received(MessageEvent<Message>& event) {
    if (soundly && soundly(event)) return;
    constexpr std::size_t kMost = 16;
    if (asked_.size() == kMost) asked_.erase(asked_.begin());
    asked_.push_back(event.correlation_id().str());
  }
  void send_bytes(const std::string& bytes) {
    if (auto* drain = loop_.fetch<ProtoBufDrain>(connection_.drain)) drain->enqueue(std::as_bytes(std::span(bytes)));
  }

  LoopManager& loop_;
  ProtoBufProtocol<Message> protocol_;
  ProtoBufConnection connection_{kNoSource, kNoDrain};
  std::vector<std::string> asked_;  // ids of what came, the latest
};

/// How a hostile part goes about it.
struct Hostility {
  FuzzInput& input;
  bool begins_soundly;  ///< it is what it should be until the node is ready
};

/// Says something every millisecond, while there is input.
template <typename Links>
struct HostileProgram {
  HostileProgram(Process& process, Hostility how) : input(how.input), links(process, how.begins_soundly), step(*this) {
    process.loop().arm(step, 1ms);
  }
  struct Step final : Timer {
    explicit Step(HostileProgram& whose) : program(whose) {}
    void expire() noexcept override {
      if (program.input.empty()) return;
      program.links.act(program.input);
      program.links.loop.arm(*this, 1ms);
    }
    HostileProgram& program;
  };
  FuzzInput& input;
  Links links;
  Step step;
};

struct HostileManagerLinks {
  HostileManagerLinks(Process& process, bool begins_soundly)
      : loop(process.loop()), signals(loop, "hostile"), daemon(loop), spawner(loop) {
    const RunDirectory directory{std::string(kRunDirectory)};
    connect(loop, directory.daemon_socket(), 10s)
        .then([this, begins_soundly](const ChannelRef& channel) {
          using Message = daemon_manager::Message;
          daemon.open(channel);
          if (!begins_soundly) return;
          auto ready = make_message<Message>(Message::kReady, loop.ids().next());
          ready.mutable_ready();
          daemon.send(ready);
        })
        .otherwise([](const std::exception_ptr&) {})
        .detach();
    connect(loop, directory.spawner_socket(), 10s)
        .then([this](const ChannelRef& channel) { spawner.open(channel); })
        .otherwise([](const std::exception_ptr&) {})
        .detach();
  }
  void act(FuzzInput& input) { input.byte() % 4 == 0 ? daemon.act(input) : spawner.act(input); }

  LoopManager& loop;
  DaemonsSignals signals;
  HostileLink<daemon_manager::Message> daemon;
  HostileLink<manager_spawner::Message> spawner;
};

struct HostileSpawnerLinks {
  HostileSpawnerLinks(Process& process, bool begins_soundly)
      : loop(process.loop()),
        signals(loop, "hostile"),
        daemon(loop),
        manager(loop),
        listener(loop,
                 {process.take_descriptor(kListenerDescriptor), directory().spawner_socket(), nullptr,
                  /*remove_file=*/false},
                 {}, [this](const ListenerSource::Connection& connection) { manager.open(connection.channel); }) {
    // The first so many questions of a manager are answered as they should be: enough for it to be ready.
    constexpr int kSoundAnswers = 2;
    manager.soundly = [left = begins_soundly ? kSoundAnswers : 0](auto& event) mutable {
      using Message = manager_spawner::Message;
      if (left == 0) return false;
      if (event.message().has_spawner_info_request()) {
        auto answer = make_message<Message>(Message::kSpawnerInfoResponse, event.correlation_id());
        answer.mutable_spawner_info_response();
        event.answer(answer);
      } else if (event.message().has_process_list_request()) {
        auto answer = make_message<Message>(Message::kProcessListResponse, event.correlation_id());
        answer.mutable_process_list_response();
        event.answer(answer);
      } else {
        return false;
      }
      --left;
      return true;
    };
    connect(loop, directory().daemon_socket(), 10s)
        .then([this, begins_soundly](const ChannelRef& channel) {
          using Message = daemon_spawner::Message;
          daemon.open(channel);
          if (!begins_soundly) return;
          auto ready = make_message<Message>(Message::kReady, loop.ids().next());
          ready.mutable_ready();
          daemon.send(ready);
        })
        .otherwise([](const std::exception_ptr&) {})
        .detach();
  }
  static RunDirectory directory() { return RunDirectory(std::string(kRunDirectory)); }
  void act(FuzzInput& input) {
    // There may be no manager yet, and nothing is to be wasted on it.
    manager.is_open() && input.byte() % 4 != 0 ? manager.act(input) : daemon.act(input);
  }

  LoopManager& loop;
  DaemonsSignals signals;
  HostileLink<daemon_spawner::Message> daemon;
  HostileLink<manager_spawner::Message> manager;
  ListenerSource listener;
};

/// Looks at the services again and again; what they cannot be is noted.
struct Observer {
  explicit Observer(Process& process)
      : loop(process.loop()),
        look_again(*this),
        client(loop, RunDirectory(std::string(kRunDirectory)).public_socket(), 1min, [](std::error_code) {}) {
    loop.arm(look_again, 10ms);
  }
  struct LookAgain final : Timer {
    explicit LookAgain(Observer& whose) : observer(whose) {}
    void expire() noexcept override { observer.look(); }
    Observer& observer;
  };

  void look() noexcept {
    loop.arm(look_again, 10ms);
    if (waiting) return;
    waiting = true;
    (client.connected()
         ? client.ask(Call{.kind = Call::Kind::List}).then([this](const NodeClient::Message& answer) { see(answer); })
         : client.connect())
        .otherwise([](const std::exception_ptr&) {})
        .then([this] { waiting = false; })
        .detach();
  }
  void see(const NodeClient::Message& answer) {
    ++seen;
    restarts = 0;
    for (const public_api::Service& service : answer.service_list_response().services()) {
      restarts += service.restarts();
      last_exit = service.last_exit();
      if (service.state() == public_api::Service::Running && service.pid() <= 0) wrong = "runs, and has no process";
      if (service.id() != "steady" && service.id() != "crashing") wrong = "is none that is configured";
    }
  }

  LoopManager& loop;
  LookAgain look_again;
  NodeClient client;
  bool waiting = false;
  int seen = 0;
  std::uint64_t restarts = 0;
  std::string last_exit;  // of one of them
  std::string wrong;
};

/// A whole life of a node whose manager, or whose spawner, does what `input` says. Throws if that does harm to what
/// others rely on: the part that is sound ends in order, and not before the node does; the daemon ends when it is told
/// to; a process that is none of the node's is not touched. Returns Simulation::trace_hash().
inline std::uint64_t live_with_hostile_part(std::uint64_t seed, FuzzInput input) {
  const std::uint8_t options = input.byte();
  const bool hostile_manager = options % 2 == 0;
  NodeWorld node(seed);
  auto& world = node.world;
  const Hostility hostility{input, (options & 2) == 0};
  std::vector<Process*> sound;
  if (hostile_manager) {
    node.machine.install("/usr/bin/snow-fox-manager", [hostility](Process& process) {
      return std::make_shared<HostileProgram<HostileManagerLinks>>(process, hostility);
    });
    node.machine.install("/usr/bin/snow-fox-spawner", [&sound](Process& process) {
      sound.push_back(&process);
      return std::make_shared<SpawnerProgram>(process);
    });
  } else {
    node.machine.install("/usr/bin/snow-fox-spawner", [hostility](Process& process) {
      return std::make_shared<HostileProgram<HostileSpawnerLinks>>(process, hostility);
    });
    node.machine.install("/usr/bin/snow-fox-manager", [&sound](Process& process) {
      sound.push_back(&process);
      return std::make_shared<ManagerProgram>(process);
    });
  }
  ServiceProgram::Counts bystanders;
  Process& bystander = node.machine.start("bystander", [&bystanders](Process& process) {
    return std::make_shared<ServiceProgram>(process, bystanders, Duration::max());
  });
  Process& observer =
      node.machine.start("observer", [](Process& process) { return std::make_shared<Observer>(process); });
  node.daemon =
      &node.machine.start("snow-fox-daemon", [](Process& process) { return std::make_shared<DaemonProgram>(process); });
  bool ready = false;
  const auto over = [&] {
    ready = ready || (node.daemon->running() && node.daemon->program<DaemonProgram>().ready);
    return !node.daemon->running() || input.empty();
  };
  world.run_until(over, 3min);
  for (int i = 0; i < 10; ++i) {
    world.run_for(1s);
    over();
  }
  const auto fail = [&](const std::string& what) { require(false, what + "\n" + world.description()); };
  if (!bystander.running()) fail("a process that is none of the node's was ended");
  const auto& observed = observer.program<Observer>();
  if (!observed.wrong.empty()) fail("a service " + observed.wrong);
  if (ready && !hostile_manager && observed.seen == 0) fail("clients are not served");
  if (node.daemon->running()) {
    for (Process* part : sound) {
      if (ready && !part->running()) fail("the part that is sound has not survived");
    }
    if (ready && sound.size() != 1) fail("the part that is sound was started again");
    node.daemon->signal(SIGTERM);
  }
  if (!world.run_until([&] { return !node.daemon->running(); }, 2min)) fail("the node does not end");
  // One of whose parts never was ready has failed, and says so.
  if (node.daemon->exit_code() != 0 && node.daemon->exit_code() != 1) fail("the daemon did not end in order");
  world.run_for(1s);
  for (Process* part : sound) {
    if (part->running()) fail("a part is left behind");
    if (ready && part->exit_code() != 0) fail("the part that is sound did not end in order");
  }
  if (!bystander.running()) fail("a process that is none of the node's was ended");
  return world.trace_hash();
}

}  // namespace snowfox::node
