#include "parts.h"

#include <deque>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <sqlite3.h>

#include <snowfox/context/process.h>
#include <snowfox/http/http_source.h>
#include <snowfox/sources/listener_source.h>

namespace snowfox::appservice_bench {
namespace {

HttpClientOptions client_settings() {
  HttpClientOptions options;
  options.user_agent = "snowfox-appservice";
  return options;
}

DeliveryOptions delivery_options(const Configuration& configuration) {
  DeliveryOptions options;
  options.limits = {.events = configuration.limits.events_per_transaction,
                    .bytes = configuration.limits.bytes_per_transaction};
  return options;
}

Shared* counted_for = nullptr;

/// Every connection to a database that is opened from now on counts its commits.
int count_commits(sqlite3* database, char** /*error*/, const sqlite3_api_routines* /*api*/) {
  const auto count = [](void* shared) -> int {
    ++static_cast<Shared*>(shared)->commits;
    return 0;
  };
  sqlite3_commit_hook(database, count, counted_for);
  return SQLITE_OK;
}

}  // namespace

void serve(Shared& shared, std::size_t services) {
  LoopManager loop;
  HttpProtocol protocol;
  protocol.options.max_body_bytes = 16U << 20;
  protocol.router.add("PUT", "/_matrix/app/v1/transactions/{id}", [&shared](HttpEvent& event) {
    shared.last_arrival = now_ns();
    ++shared.arrivals;
    if (shared.down) {
      event.answer_error(503, "down");
    } else {
      event.answer({.content_type = "application/json", .body = "{}"});
    }
  });
  std::deque<ListenerSource> listeners;
  for (std::size_t i = 0; i < services; ++i) {
    auto& listener = listeners.emplace_back(
        loop, Address::tcp("127.0.0.1", 0), ListenerOptions{},
        [&](const ListenerSource::Connection& client) { serve_http(loop, client.channel, protocol); });
    shared.ports[i] = listener.local_address().port();
  }
  loop.run();
}

std::string service_id(std::size_t service) { return fmt::format("service{}", service); }
std::string store_path(const std::string& directory) { return directory + "/store.db"; }

std::string event_json(std::uint64_t number, std::size_t service) {
  // splitmix64: each number has another one.
  std::uint64_t mixed = number + 0x9e3779b97f4a7c15U;
  mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
  mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
  mixed ^= mixed >> 31U;
  return fmt::format(
      R"({{"event_id":"$Rk3bV0Qm7cXtYwLpZs_{:016x}{:08x}","room_id":"!room{}:example.org",)"
      R"("sender":"@somebody.{}:example.org","type":"m.room.message","origin_server_ts":1795000000000,)"
      R"("content":{{"msgtype":"m.text","body":"Message number {} of somebody who has something to tell, at some length )"
      R"(as people do when they meet again after a while and sit down together.","format":"org.matrix.custom.html",)"
      R"("formatted_body":"<p>Message of somebody who has something to tell, at some length</p>"}},)"
      R"("unsigned":{{"age":1234}}}})",
      mixed, static_cast<std::uint32_t>(number), service, number % 500, number);
}

std::string write_configuration(const std::string& directory, const Shared& shared, std::size_t services,
                                std::size_t events_per_transaction) {
  std::string path = directory + "/appservice.yaml";
  std::ofstream configuration(path);
  configuration << "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstore: sqlite:store.db\nhomeserver_domain: example.org\n"
                << "log: {level: error}\nlimits: {events_per_transaction: " << events_per_transaction
                << "}\nregistrations:\n";
  for (std::size_t i = 0; i < services; ++i) {
    const std::string id = service_id(i);
    configuration << "  - " << id << ".yaml\n";
    std::ofstream(directory + "/" + id + ".yaml")
        << "id: " << id << "\nurl: http://127.0.0.1:" << shared.ports[i] << "\nas_token: as-" << id << "\nhs_token: hs-"
        << id << "\nsender_localpart: " << id << "\nrate_limited: false\n"
        << "namespaces:\n  users: [{exclusive: true, regex: '@" << id << "_.*:example\\.org'}]\n"
        << "  rooms: [{exclusive: false, regex: '!room" << i << ":example\\.org'}]\n  aliases: []\n";
  }
  configuration.close();
  if (!configuration) throw std::runtime_error("cannot write " + path);
  return path;
}

void run_daemon(Shared& shared, const std::string& configuration) {
  counted_for = &shared;
  shared.commits = 0;
  sqlite3_auto_extension(reinterpret_cast<void (*)()>(&count_commits));
  Process process({.name = "appservice"});
  Daemon daemon(process, configuration, load_settings(configuration));
  shared.api_port = daemon.address().port();
  if (process.run() != 0) throw std::runtime_error("the daemon has failed");
}

Parts::Parts(const std::string& configuration)
    : settings_(load_settings(configuration).configuration),
      store_(loop_, settings_.configuration.store.path_or_uri, settings_.configuration.remember_event_ids),
      http_client_(loop_, client_settings()),
      service_client_(loop_, http_client_, {}),
      scheduler_(loop_, store_, service_client_, delivery_options(settings_.configuration)),
      rooms_(loop_, store_, std::make_shared<const Interest>(settings_.registrations)),
      intake_(loop_, scheduler_, rooms_) {
  loop_.log().set_level(LogLevel::Error);
}

Task<> Parts::start() {
  Promise<std::vector<ServiceRecord>> known = store_.services();
  scheduler_.start(settings_.registrations, co_await std::move(known));
  intake_.begin();
}

void Parts::run(Task<> work) {
  std::exception_ptr error;
  const Task<> ending = end_after(std::move(work), error);
  loop_.run();
  if (error) std::rethrow_exception(error);
}

Task<> Parts::end_after(Task<> work, std::exception_ptr& error) {
  try {
    co_await std::move(work);
  } catch (const std::exception&) {
    error = std::current_exception();
  }
  loop_.stop();
}

bool Parts::idle() {
  for (std::size_t i = 0; i < scheduler_.size(); ++i) {
    const DeliveryStatus status = scheduler_.at(i).status();
    if (status.doing != "idle" || status.backlog > 0) return false;
  }
  return true;
}

}  // namespace snowfox::appservice_bench
