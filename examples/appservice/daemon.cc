#include "appservice/daemon.h"

#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

#include <snowfox/context/configuration_error.h>
#include <snowfox/context/content_hash.h>
#include <snowfox/context/yaml_reader.h>
#include <snowfox/core/error.h>
#include <snowfox/http/http_source.h>
#include <snowfox/promises/sleep.h>

#ifdef SNOWFOX_APPSERVICE_POSTGRES
#include "appservice/postgres_store.h"
#endif
#include "appservice/sqlite_store.h"

namespace snowfox::appservice {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kComponent = "appservice";
/// Further clients wait. Each may have so much in memory as one submission may be long.
constexpr std::size_t kMostApiConnections = 2000;
constexpr std::size_t kMostAdminConnections = 200;
constexpr std::size_t kMostQuestionsToOneHost = 20;
constexpr std::size_t kMostQuestions = 200;
constexpr std::size_t kMostWaitingQuestions = 1000;
/// Between attempts to read what the store knows, when the daemon starts.
constexpr Duration kStoreRetry = 2s;

HttpOptions api_options() {
  HttpOptions options;
  options.server = "appservice";
  return options;
}

/// However many services are behind one address, and hang there, no other waits for them: of each there is at most one
/// transaction at a time, so no more are under way than services are registered, which are at most so many.
HttpClientOptions for_transactions() {
  HttpClientOptions options;
  options.most_per_host = Registrations::kMostServices;
  options.most_in_all = Registrations::kMostServices;
  options.user_agent = "snowfox-appservice";
  return options;
}

/// Pings and queries, of which anybody who reaches the listener may ask for any number.
HttpClientOptions for_questions() {
  HttpClientOptions options;
  options.most_per_host = kMostQuestionsToOneHost;
  options.most_in_all = kMostQuestions;
  options.most_waiting = kMostWaitingQuestions;
  options.user_agent = "snowfox-appservice";
  return options;
}

}  // namespace

LoadedConfiguration<Settings> load_settings(const std::string& path, Io& io) {
  LoadedConfiguration<Configuration> read = load_yaml<Configuration>(path, {}, io);
  LoadedConfiguration<Settings> loaded{.configuration = {}, .metadata = read.metadata};
  loaded.configuration.configuration = std::move(read.configuration);
  const Configuration& configuration = loaded.configuration.configuration;
  const std::vector<std::string> files = configuration.registration_files();
  loaded.configuration.registrations = Registrations::load(files, configuration.homeserver_domain, io);
  // A registration that has changed is another configuration, too.
  ContentHash hash;
  hash.add(read.metadata.version);
  for (const std::string& file : files) hash.add(YamlReader::open(file, {}, io).metadata().version);
  loaded.metadata.version = hash.str();
  return loaded;
}

Daemon::Daemon(Process& process, std::string path, LoadedConfiguration<Settings> first, std::string version)
    : process_(process),
      loop_(process.loop()),
      path_(std::move(path)),
      first_(std::move(first)),
      store_(open_store(loop_, first_.configuration.configuration)),
      transactions_client_(loop_, for_transactions()),
      questions_client_(loop_, for_questions()),
      service_client_(loop_, transactions_client_, questions_client_,
                      client_options(first_.configuration.configuration)),
      scheduler_(loop_, *store_, service_client_, delivery_options(first_.configuration.configuration)),
      rooms_(loop_, *store_, make_interest(first_.configuration.registrations)),
      intake_(loop_, scheduler_, rooms_),
      api_protocol_(api_options()),
      admin_protocol_(api_options()),
      api_(loop_, api_protocol_, intake_, scheduler_, service_client_, rooms_),
      monitoring_(loop_),
      admin_(loop_, admin_protocol_, scheduler_, *store_, monitoring_.metrics,
             {.version = std::move(version), .store = {}, .intake = [this] { return intake_numbers(); }}),
      reload_(
          process.scope(), [this] { return load_settings(path_); },
          [this](const Settings& settings, DynamicScopeBuilder& scope) { build(settings, scope); }) {
  api_protocol_.error_body = admin_protocol_.error_body = &matrix_error_body;
  monitoring_.add_to(admin_protocol_);
  monitoring_.watch(api_protocol_, "api");
  monitoring_.watch(admin_protocol_, "admin");
  monitoring_.ready_when("store", [this] { return learnt_ && store_->trouble().empty(); });
  store_->when_back([this] {
    loop_.log().info(kComponent, "the store is there again: what is known of it is read again");
    rooms_.forget_all();
    scheduler_.count_again();
  });
  reload_.apply(std::move(first_)).check();
  process_.on_reload([this] { reload_.reload(); });
  process_.on_shutdown([this](Process::Completion completion) { end(std::move(completion)).detach(loop_); });
  learn_services().detach(loop_);
}

std::unique_ptr<Store> Daemon::open_store(LoopManager& loop, const Configuration& configuration) {
  const auto& [kind, where] = configuration.store;
  if (kind == StoreConfiguration::Kind::Sqlite) {
    return std::make_unique<SqliteStore>(loop, where, configuration.remember_event_ids);
  }
#ifdef SNOWFOX_APPSERVICE_POSTGRES
  return std::make_unique<PostgresStore>(loop, where, configuration.remember_event_ids);
#else
  throw std::runtime_error("store: this program was built without PostgreSQL");
#endif
}

ServiceClientOptions Daemon::client_options(const Configuration& configuration) {
  ServiceClientOptions options;
  options.connect_timeout = configuration.limits.connect_timeout;
  options.response_timeout = configuration.limits.response_timeout;
  options.body_timeout = configuration.limits.body_timeout;
  options.legacy_query_token = configuration.legacy_query_token;
  return options;
}

DeliveryOptions Daemon::delivery_options(const Configuration& configuration) {
  const Limits& limits = configuration.limits;
  DeliveryOptions options;
  options.limits = {.events = limits.events_per_transaction, .bytes = limits.bytes_per_transaction};
  options.first_retry = limits.first_retry;
  options.longest_retry = limits.longest_retry;
  options.park_after = limits.park_after;
  options.park_server_errors_after = limits.park_server_errors_after;
  return options;
}

std::shared_ptr<const Interest> Daemon::make_interest(std::shared_ptr<const Registrations> registrations) {
  InterestOptions options;
  options.on_gave_up = [this](const Registration& service, std::string_view key, const Pattern&) {
    loop_.log().warning(kComponent, "a pattern takes too long for some texts: they do not match it",
                        {{"service", service.id}, {"key", key}});
  };
  return std::make_shared<const Interest>(std::move(registrations), std::move(options));
}

// --- configurations ---

void Daemon::build(const Settings& settings, DynamicScopeBuilder& scope) {
  const Configuration& configuration = settings.configuration;
  const bool first = reload_.scope() == nullptr;
  const auto serve = [this](HttpProtocol& protocol) {
    return [this, &protocol](const ListenerSource::Connection& client) { serve_http(loop_, client.channel, protocol); };
  };
  ListenerSettings api{.address = configuration.listen};
  api.options.max_connections = kMostApiConnections;
  scope.listen(std::move(api), serve(api_protocol_));
  ListenerSettings admin{.address = configuration.admin};
  admin.options.max_connections = kMostAdminConnections;
  scope.listen(std::move(admin), serve(admin_protocol_));
  scope.set_log(configuration.log);
  scope.at_swap([this, &settings, first] { apply(settings, first); });
}

void Daemon::apply(const Settings& settings, bool first) {
  const Configuration& configuration = settings.configuration;
  for (const ConfigurationProblem& note : settings.registrations->notes()) {
    loop_.log().info(kComponent, "in a registration, and not known here", {{"what", note.str()}});
  }
  api_protocol_.options.max_body_bytes = configuration.limits.max_submit_bytes;
  api_protocol_.options.max_decoded_bytes = configuration.limits.max_submit_bytes;
  api_.set_submit_token(configuration.submit_token);
  admin_.set_hosts(configuration.admin_hosts);
  intake_.set_limits(
      {.submit_bytes = configuration.limits.max_submit_bytes, .event_bytes = configuration.limits.max_event_bytes});
  if (first) {
    admin_.set_store(configuration.store.shown());
    return;
  }
  service_client_.set_options(client_options(configuration));
  scheduler_.set_options(delivery_options(configuration));
  rooms_.registrations_changed(make_interest(settings.registrations));
  if (learnt_) scheduler_.set_registrations(settings.registrations);
  const StoreConfiguration& before = reload_.configuration().configuration.store;
  if (before.kind != configuration.store.kind || before.path_or_uri != configuration.store.path_or_uri) {
    loop_.log().warning(kComponent, "another store is used only after a restart");
  }
  if (process_.settings().shutdown_timeout != configuration.shutdown_timeout) {
    loop_.log().warning(kComponent, "another shutdown_timeout holds only after a restart");
  }
}

nlohmann::json Daemon::intake_numbers() const {
  const IntakeCounters& counters = intake_.counters();
  return {{"submissions_total", counters.submissions},
          {"events_total", counters.events},
          {"known_total", counters.known},
          {"ignored_total", counters.ignored},
          {"refused_total", counters.refused},
          {"waiting", intake_.waiting()},
          {"waiting_bytes", intake_.waiting_bytes()},
          {"rooms", rooms_.size()},
          {"rooms_bytes", rooms_.bytes()},
          {"room_loads_total", rooms_.counters().loads}};
}

/// Until what waits is known, submissions wait.
Task<> Daemon::learn_services() {
  for (;;) {
    std::exception_ptr error;
    try {
      std::vector<ServiceRecord> known = co_await store_->services();
      scheduler_.start(reload_.configuration().registrations, std::move(known));
      intake_.begin();
      learnt_ = true;
      co_return;
    } catch (const std::exception&) {
      error = std::current_exception();
    }
    loop_.log().error(kComponent, "the store cannot be read, trying again", {{"error", describe(error)}});
    co_await snowfox::sleep(loop_, kStoreRetry);
  }
}

Address Daemon::address() const { return reload_.scope()->listeners().at(0)->local_address(); }
Address Daemon::admin_address() const { return reload_.scope()->listeners().at(1)->local_address(); }

// --- the end ---

/// Listeners are closed already. Who is being answered is answered, what is on its way to a service arrives, then the
/// store closes. What takes longer than the process gives it is sent again after the next start.
Task<> Daemon::end(Process::Completion completion) {
  auto [answered, all_answered] = make_promise<void>(loop_);
  admin_.finish();
  api_protocol_.finish([resolver = std::make_shared<Resolver<void>>(std::move(all_answered))] { resolver->resolve(); });
  co_await scheduler_.finish();
  co_await std::move(answered);
  co_await store_->close();
  completion.done();
}

}  // namespace snowfox::appservice
