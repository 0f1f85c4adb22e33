#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <snowfox/core/loop_manager.h>
#include <snowfox/http/http_protocol.h>
#include <snowfox/http/http_source.h>
#include <snowfox/http/monitoring.h>
#include <snowfox/http_client/http_client_error.h>
#include <snowfox/http_client/scripted_http_requester.h>
#include <snowfox/sources/listener_source.h>

#include "appservice/admin.h"
#include "appservice/api.h"
#include "appservice/scheduler.h"
#include "appservice/sqlite_store.h"
#include "support/temporary_directory.h"

namespace snowfox::appservice {

/// A store that can be told to fail what is asked for by hand.
class TroubledStore final : public Store {
 public:
  TroubledStore(LoopManager& loop, std::unique_ptr<Store> store) : loop_(loop), store_(std::move(store)) {}

  std::string told;  ///< what it says is in the way; empty: what the other store says

  Promise<Accepted> accept(Submission submission) override { return store_->accept(std::move(submission)); }
  Promise<Advanced> advance(Step step) override { return store_->advance(std::move(step)); }
  Promise<void> failed(std::string service, TransactionId transaction, std::uint32_t failures, std::uint32_t refusals,
                       std::string reason) override {
    return store_->failed(std::move(service), transaction, failures, refusals, std::move(reason));
  }
  Promise<void> pause(std::string service, bool paused) override {
    return told.empty() ? store_->pause(std::move(service), paused) : rejected<void>(loop_, error());
  }
  Promise<std::vector<ServiceRecord>> services() override { return store_->services(); }
  Promise<std::vector<ParkedTransaction>> parked(std::string service, std::size_t most) override {
    return told.empty() ? store_->parked(std::move(service), most)
                        : rejected<std::vector<ParkedTransaction>>(loop_, error());
  }
  Promise<std::optional<std::size_t>> requeue(std::string service, TransactionId transaction) override {
    return told.empty() ? store_->requeue(std::move(service), transaction)
                        : rejected<std::optional<std::size_t>>(loop_, error());
  }
  Promise<std::vector<std::string>> known(std::vector<std::string> event_ids) override {
    return store_->known(std::move(event_ids));
  }
  Promise<StoredRoom> load_room(const std::string& room_id) override { return store_->load_room(room_id); }
  std::string trouble() const override { return told.empty() ? store_->trouble() : told; }
  std::size_t backlog_bytes() const override { return store_->backlog_bytes(); }
  Promise<void> close() override { return store_->close(); }

 private:
  static std::error_code error() { return std::make_error_code(std::errc::no_space_on_device); }

  LoopManager& loop_;
  std::unique_ptr<Store> store_;
};

/// The part of the daemon that the admin listener serves, on a real loop, with a real store and services that do as
/// they are told.
class AdminWorld {
 public:
  /// How a service answers: with a status and, in Matrix's form, an error; 0: with no connection.
  struct Behaviour {
    int status = 200;
    std::string error{};
  };

  AdminWorld(LoopManager& loop, const std::vector<std::string>& ids,
             const Address& address = Address::tcp("127.0.0.1", 0))
      : loop_(loop),
        requester_(loop, [this](const HttpClientRequest& request) { return ask(request); }),
        client_(loop, requester_, {}),
        store_(loop, std::make_unique<SqliteStore>(loop, directory_ / "store.db", 1000)),
        scheduler_(loop, store_, client_, options()),
        monitoring_(loop),
        admin_(loop, protocol_, scheduler_, store_, monitoring_.metrics,
               {.version = "1.2.3",
                .store = "sqlite:store.db",
                .intake =
                    [] {
                      return nlohmann::json{{"events_total", 7}, {"waiting", 2}};
                    }}),
        listener_(loop, address, {}, [this](const ListenerSource::Connection& client) {
          serve_http(loop_, client.channel, protocol_, &kPatient);
        }) {
    protocol_.error_body = &matrix_error_body;
    monitoring_.add_to(protocol_);
    learnt_ = store_.services().then([this, ids](std::vector<ServiceRecord> known) {
      scheduler_.start(registrations(ids), std::move(known));
      ready_ = true;
    });
  }

  static std::shared_ptr<const Registrations> registrations(const std::vector<std::string>& ids) {
    std::vector<Registration> all;
    for (const std::string& id : ids) {
      Registration one;
      one.id = id;
      if (id != "quiet") one.url = "http://user:password@" + id + "/base";
      one.as_token = "secret-as-" + id;
      one.hs_token = "secret-hs-" + id;
      one.sender_localpart = id;
      all.push_back(std::move(one));
    }
    return std::make_shared<const Registrations>(std::move(all));
  }

  /// Submits so many events for a service.
  void submit(const std::string& id, int events) {
    std::vector<NewEvent> all;
    for (int i = 0; i < events; ++i) {
      NewEvent one;
      one.event_id = "$" + std::to_string(++events_);
      one.body = R"({"event_id":")" + one.event_id + R"(","unsigned":{}})";
      one.services = {id};
      all.push_back(std::move(one));
    }
    scheduler_.accept(std::move(all)).then([](const std::vector<bool>&) {}).detach();
  }

  bool ready() const noexcept { return ready_; }
  Address address() const { return listener_.local_address(); }
  Scheduler& scheduler() noexcept { return scheduler_; }
  TroubledStore& store() noexcept { return store_; }
  HttpProtocol& protocol() noexcept { return protocol_; }
  Admin& admin() noexcept { return admin_; }

  std::map<std::string, Behaviour> behaviours;  ///< by id; without one a service is well

 private:
  static DeliveryOptions options() {
    DeliveryOptions result;
    result.park_after = 1;
    result.first_retry = std::chrono::minutes(2);
    return result;
  }
  ScriptedHttpAnswer ask(const HttpClientRequest& request) {
    const std::size_t begin = request.url.find('@') + 1;
    const Behaviour behaviour = behaviours[request.url.substr(begin, request.url.find('/', begin) - begin)];
    if (behaviour.status == 0) {
      return {.error =
                  std::make_exception_ptr(HttpClientError(HttpClientErrc::ConnectionReset, behaviour.error, true))};
    }
    HttpClientResponse response;
    response.status = behaviour.status;
    response.body = nlohmann::json{{"error", behaviour.error}}.dump();
    return {.response = std::move(response), .after = std::chrono::milliseconds(1)};
  }

  /// A test that is stopped for a while must not lose who reads slowly.
  static constexpr Watermarks kPatient{.stall_timeout = std::chrono::hours(1)};

  LoopManager& loop_;
  TemporaryDirectory directory_;
  ScriptedHttpRequester requester_;
  ServiceClient client_;
  TroubledStore store_;
  Scheduler scheduler_;
  HttpProtocol protocol_;
  Monitoring monitoring_;
  Admin admin_;
  ListenerSource listener_;
  Promise<void> learnt_;
  bool ready_ = false;
  int events_ = 0;
};

}  // namespace snowfox::appservice
