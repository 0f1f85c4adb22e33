#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <snowfox/core/loop_manager.h>
#include <snowfox/http_client/http_client_error.h>
#include <snowfox/http_client/scripted_http_requester.h>
#include <snowfox/promises/sleep.h>
#include <snowfox/simulation/simulation.h>

#include "appservice/scheduler.h"
#include "appservice/sqlite_store.h"
#include "support/temporary_directory.h"

namespace snowfox::appservice {

using namespace std::chrono_literals;

/// What one PUT brought to a service.
struct Received {
  TransactionId id = 0;
  std::vector<std::string> events;
  std::string body;
  TimePoint at;
  bool refused = false;  ///< as too large: the events come again, under other ids
};

/// An application service as those behave that are well and those that are not. It outlives the daemon.
class FakeService {
 public:
  using Behaviour = std::function<ScriptedHttpAnswer()>;

  /// How the next requests are answered, one each; after those, `usually`.
  std::deque<Behaviour> next;
  Behaviour usually = [] { return ok(); };
  Behaviour when_pinged = [] { return ok(); };
  /// All that came, whatever the answer.
  std::vector<Received> received;
  /// A request came while another was under way.
  bool overlapped = false;

  static ScriptedHttpAnswer ok(Duration after = 1ms) { return status(200, after); }
  static ScriptedHttpAnswer status(int code, Duration after = 1ms, std::string body = "{}") {
    HttpClientResponse response;
    response.status = code;
    response.body = std::move(body);
    return {.response = std::move(response), .after = after};
  }
  static ScriptedHttpAnswer reset(Duration after = 1ms) {
    return {.error = std::make_exception_ptr(HttpClientError(HttpClientErrc::ConnectionReset, "reset", true)),
            .after = after};
  }
  static ScriptedHttpAnswer silence() { return {}; }

  /// As the service does, which knows a transaction by its id.
  std::vector<std::string> taken() const {
    std::vector<std::string> events;
    std::set<TransactionId> seen;
    for (const Received& one : received) {
      if (seen.insert(one.id).second) events.insert(events.end(), one.events.begin(), one.events.end());
    }
    return events;
  }
  std::vector<std::vector<std::string>> transactions() const {
    std::vector<std::vector<std::string>> result;
    for (const Received& one : received) result.push_back(one.events);
    return result;
  }
  std::vector<TransactionId> ids() const {
    std::vector<TransactionId> result;
    for (const Received& one : received) result.push_back(one.id);
    return result;
  }

  ScriptedHttpAnswer take(const HttpClientRequest& request, TimePoint now) {
    Received one;
    one.id = std::stoll(request.url.substr(request.url.rfind('/') + 1));
    one.body = std::string(request.body.bytes());
    one.at = now;
    const nlohmann::json content = nlohmann::json::parse(one.body);
    for (const auto& event : content.at("events")) one.events.push_back(event.at("event_id"));
    received.push_back(std::move(one));
    if (now < busy_until_) overlapped = true;
    const ScriptedHttpAnswer answer = answer_next();
    received.back().refused = answer.response && answer.response->status == 413;
    const bool silent = !answer.response && answer.error == nullptr;
    busy_until_ = now + (silent ? ServiceClientOptions().response_timeout : answer.after);
    return answer;
  }
  /// Whoever was asking is dead.
  void forget_requests() noexcept { busy_until_ = TimePoint(); }

 private:
  ScriptedHttpAnswer answer_next() {
    if (next.empty()) return usually();
    const Behaviour behaviour = std::move(next.front());
    next.pop_front();
    return behaviour();
  }

  TimePoint busy_until_{};
};

using WrapStore = std::function<std::unique_ptr<Store>(LoopManager&, std::unique_ptr<Store>)>;

/// The part of the daemon that stores and sends.
class SchedulerProgram {
 public:
  SchedulerProgram(LoopManager& loop, const std::string& file, std::map<std::string, FakeService>& services,
                   const DeliveryOptions& options, std::shared_ptr<const Registrations> registrations,
                   const WrapStore& wrap)
      : loop_(loop),
        requester_(loop, [this, &services](const HttpClientRequest& request) { return ask(services, request); }),
        client_(loop, requester_, {}),
        store_(wrap(loop, std::make_unique<SqliteStore>(loop, file, 1'000'000))),
        scheduler_(loop, *store_, client_, options) {
    begun_ = store_->services().then([this, registrations](std::vector<ServiceRecord> known) {
      scheduler_.start(registrations, std::move(known));
      ready_ = true;
    });
  }

  bool ready() const noexcept { return ready_; }
  Scheduler& scheduler() noexcept { return scheduler_; }
  Store& store() noexcept { return *store_; }
  HttpRequester& requester() noexcept { return requester_; }

 private:
  /// Services are known by their URL's host, which is their id.
  ScriptedHttpAnswer ask(std::map<std::string, FakeService>& services, const HttpClientRequest& request) {
    const std::size_t begin = request.url.find("//") + 2;
    const std::string host = request.url.substr(begin, request.url.find('/', begin) - begin);
    if (request.url.ends_with("/ping")) return services.at(host).when_pinged();
    EXPECT_EQ(request.method, "PUT");
    EXPECT_EQ(request.headers.find("Authorization"), "Bearer hs-" + host);
    return services.at(host).take(request, loop_.now());
  }

  LoopManager& loop_;
  ScriptedHttpRequester requester_;
  ServiceClient client_;
  std::unique_ptr<Store> store_;
  Scheduler scheduler_;
  Promise<void> begun_;
  Promise<void> listening_ = sleep(loop_, 10'000h);  // as a daemon does
  bool ready_ = false;
};

/// A daemon's scheduler on a simulated host: time is virtual, the database's file is real, and services do as they are
/// told.
class SchedulerWorld {
 public:
  explicit SchedulerWorld(const simulation::SimulationOptions& chance = {})
      : world(chance), host(world.add_host("daemon")) {}
  ~SchedulerWorld() {
    for (const auto& [id, service] : services) EXPECT_FALSE(service.overlapped) << id;
  }

  static Registration registration(const std::string& id) {
    Registration result;
    result.id = id;
    result.url = "http://" + id;
    result.as_token = "as-" + id;
    result.hs_token = "hs-" + id;
    result.sender_localpart = id;
    return result;
  }
  static std::shared_ptr<const Registrations> registrations(const std::vector<std::string>& ids) {
    std::vector<Registration> all;
    for (const std::string& id : ids) all.push_back(registration(id));
    return std::make_shared<const Registrations>(std::move(all));
  }

  /// Starts the daemon, or starts it again.
  void start(const std::vector<std::string>& ids = {"a"}) {
    for (const std::string& id : ids) services[id];
    process = &host.start("daemon", [this, ids](simulation::Process& self) {
      return std::make_shared<SchedulerProgram>(self.loop(), directory / "store.db", services, options,
                                                registrations(ids), wrap);
    });
    ASSERT_TRUE(process->running()) << world.description();
    ASSERT_TRUE(world.run_until([this] { return program().ready(); }, 60s)) << world.description();
  }
  void kill() {
    process->kill();
    for (auto& [id, service] : services) service.forget_requests();
  }

  SchedulerProgram& program() {
    if (!process->running()) throw std::logic_error("the daemon has ended: " + world.description());
    return process->program<SchedulerProgram>();
  }
  Scheduler& scheduler() { return program().scheduler(); }
  Delivery& delivery(const std::string& id = "a") { return *scheduler().find(id); }
  DeliveryStatus status(const std::string& id = "a") { return delivery(id).status(); }
  FakeService& service(const std::string& id = "a") { return services.at(id); }

  static NewEvent event(const std::string& id, const std::vector<std::string>& whose = {"a"}) {
    NewEvent result;
    result.event_id = id;
    result.body = R"({"event_id":")" + id + R"(","unsigned":{}})";
    result.services = whose;
    return result;
  }
  /// Submits, and waits until that is durable.
  void submit(const std::vector<std::string>& ids, const std::vector<std::string>& whose = {"a"}) {
    std::vector<NewEvent> events;
    for (const std::string& id : ids) events.push_back(event(id, whose));
    settle(scheduler().accept(std::move(events)));
  }
  /// What is done to the daemon here is done between its turns: it takes another one.
  void wake() {
    if (process->running()) process->loop().poller().wake();
  }
  void run_for(Duration time) {
    wake();
    world.run_for(time);
  }
  template <typename T>
  T settle(Promise<T> promise) {
    wake();
    if (!world.run_until([&] { return promise.settled(); }, 10min)) throw std::logic_error(world.description());
    if (promise.state()->rejected()) std::rethrow_exception(promise.state()->error());
    if constexpr (!std::is_void_v<T>) return std::move(promise.state()->value());
  }
  bool run_until(const std::function<bool()>& condition, Duration limit = 1h) {
    wake();
    const bool held = world.run_until(condition, limit);
    EXPECT_TRUE(held) << world.description();
    return held;
  }
  /// Runs until nothing waits for `id`.
  bool drain(const std::string& id = "a") {
    return run_until([&] { return status(id).backlog == 0 && status(id).up; });
  }
  static std::vector<std::string> names(const std::string& prefix, int first, int last) {
    std::vector<std::string> result;
    for (int i = first; i <= last; ++i) result.push_back(prefix + std::to_string(i));
    return result;
  }

  TemporaryDirectory directory;
  std::map<std::string, FakeService> services;
  DeliveryOptions options;
  WrapStore wrap = [](LoopManager&, std::unique_ptr<Store> store) { return store; };
  simulation::Simulation world;
  simulation::Host& host;
  simulation::Process* process = nullptr;
};

}  // namespace snowfox::appservice
