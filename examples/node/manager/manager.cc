#include "manager/manager.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <filesystem>
#include <memory>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <snowfox/context/yaml_reader.h>
#include <snowfox/core/error.h>
#include <snowfox/core/explanation.h>
#include <snowfox/promises/promise_group.h>

#include "common/build_version.h"
#include "common/status.h"

namespace snowfox::node {
namespace {

constexpr std::string_view kComponent = "manager";
constexpr std::string_view kName = "snow-fox-manager";
constexpr Duration kConnectTimeout = std::chrono::seconds(10);
/// Of the time there is to end, so much in a hundred is for services; the rest is our own.
constexpr int kServicesShare = 90;

/// Clients are numbered from here on: elsewhere in each manager, so that a request of the one is not taken for one of
/// another's before it.
std::uint64_t first_client(LoopManager& loop) {
  constexpr std::uint64_t kApart = 1000;
  std::uint64_t random = 0;
  const CorrelationId id = loop.ids().next();  // its front is drawn at random
  std::from_chars(id.text().data(), id.text().data() + 4, random, 16);
  return (random + 1) * kApart;
}

/// All that is wrong, in one line.
std::string one_line(const ConfigurationError& error) {
  std::string line;
  for (const ConfigurationProblem& problem : error.problems()) line += (line.empty() ? "" : "; ") + problem.str();
  if (error.omitted() != 0) line += fmt::format("; and {} more", error.omitted());
  return line;
}

/// The first thing that is wrong, and how many more there are.
std::string summary(const ConfigurationError& error) {
  const std::size_t more = error.problems().size() - 1 + error.omitted();
  return error.problems().front().str() + (more == 0 ? "" : fmt::format(" (and {} more)", more));
}

/// All, of whatever was thrown.
std::string one_line(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const ConfigurationError& problems) {
    return one_line(problems);
  } catch (...) {
    return describe(error);
  }
}

std::string utc(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

std::uint64_t microseconds(Duration duration) {
  const auto count = std::chrono::floor<std::chrono::microseconds>(duration).count();
  return static_cast<std::uint64_t>(std::max<std::int64_t>(count, 0));
}

}  // namespace

Manager::Manager(LoopManager& loop, DescriptorLogSink& log_sink, const RunDirectory& directory, Descriptor listener,
                 ManagerOptions options, InheritedListeners inherited)
    : loop_(loop),
      directory_(directory),
      options_(std::move(options)),
      statics_(loop),
      trail_(loop),
      recorder_(loop, kName),
      spawner_(loop, {.on_exited = [this](const auto& process) { services_.exited(process); },
                      .on_gone = [this] { services_.spawner_gone(); },
                      .on_back = [this] { services_.look(); },
                      .on_doubt = [this] { services_.doubt(); }}),
      daemon_(loop, {.on_shutdown = [this](Duration timeout, const CorrelationId& id) { end(timeout, id); },
                     .on_reload = [this](const CorrelationId& id) { return reload(id); },
                     .on_supervision = [this](const auto& supervision) { supervision_ = supervision; },
                     .on_gone =
                         [this] {
                           // Services stay, for whoever comes after us.
                           loop_.log().warning(kComponent, "the daemon is gone: ending");
                           statics_.announce_stopping();
                           loop_.stop();
                         }}),
      api_(loop, *this, first_client(loop)),
      services_(loop, spawner_, directory,
                [this](const public_api::Service& service, bool removed) { api_.tell(service, removed); }),
      kept_(loop.io(), loop.log(), directory),
      reload_(
          statics_, [this] { return read_configuration(); },
          [this](const Configuration& configuration, DynamicScopeBuilder& scope) { build(configuration, scope); }) {
  statics_.set_inherited(std::move(inherited));
  statics_.set_log_sink(log_sink, options_.log.format.value_or(LogFormat::Text));
  start(std::move(listener))
      .promise(loop)
      .otherwise([this](const std::exception_ptr& error) {
        const std::string reason = one_line(error);
        // The daemon tells the user; if that cannot be reached, nobody else would.
        if (!daemon_.start_failed(reason)) loop_.log().critical(kComponent, "cannot start", {{"error", reason}});
        loop_.stop(EXIT_FAILURE);
      })
      .detach();
}

Task<> Manager::start(Descriptor listener) {
  co_await daemon_.connect(directory_, kConnectTimeout);
  co_await spawner_.connect(directory_, kConnectTimeout);
  load();
  statics_.inherited().report_unused(loop_.log());
  co_await services_.take_up();
  api_.pause_for(spawner_.drain_id());
  public_listener_.emplace(
      loop_, ListenerSource::Handover{std::move(listener), directory_.public_socket(), nullptr, /*remove_file=*/false},
      PublicApi::listener_options(reload_.configuration().api),
      [this](const ListenerSource::Connection& connection) { api_.accept(connection); });
  daemon_.ready();
  tick();
}

LoadedConfiguration<Configuration> Manager::read_configuration() {
  texts_ = YamlTexts::read(options_.configuration, {}, loop_.io());
  const YamlReader reader = YamlReader::parse(texts_);
  return {reader.read<Configuration>(), reader.metadata()};
}

// The first configuration. A manager that was started again while the files are broken goes on with the one that the
// former manager had: services run by it.
void Manager::load() {
  const ReloadResult result = reload_.reload();
  if (result) return kept_.keep(texts_);
  const auto kept = kept_.find(options_.configuration);
  if (!kept) return result.check();
  try {
    const YamlReader reader = YamlReader::parse(*kept);
    reload_.apply({reader.read<Configuration>(), reader.metadata()}).check();
  } catch (const ConfigurationError&) {
    result.check();
  }
  refused_ = summary(*result.error);
  loop_.log().warning(kComponent, "going on with the configuration of before: the one that is there cannot be used",
                      {{"version", reload_.scope()->metadata().version}});
}

void Manager::end(Duration timeout, const CorrelationId& id) {
  statics_.announce_stopping();
  services_.shut_down(timeout * kServicesShare / 100, id).finally([this] { loop_.stop(); }).detach();
}

void Manager::build(const Configuration& configuration, DynamicScopeBuilder& scope) {
  const ListenerOptions options = PublicApi::listener_options(configuration.api);
  for (const auto& [address, place] : configuration.api.listen) {
    if (address == directory_.public_socket()) continue;  // is there, whatever the configuration says
    scope.listen({address, options, place},
                 [this](const ListenerSource::Connection& connection) { api_.accept(connection); });
  }
  LogSettings log = configuration.log;
  if (options_.log.level) log.level = options_.log.level;
  if (options_.log.format) log.format = options_.log.format;
  scope.set_log(log);
  scope.keep(std::make_unique<SchedulerSource>(loop_, configuration.tick,
                                               [this] { return make_event([this] { tick(); }, {.name = "Tick"}); }));
  scope.at_swap([this, &configuration] { in_force(configuration); });
  scope.at_swap([this, plan = services_.prepare(configuration.services)] { services_.apply(*plan, reloading_); });
}

void Manager::in_force(const Configuration& configuration) noexcept {
  const ApiConfiguration& api = configuration.api;
  api_.set(api);
  if (public_listener_) public_listener_->set_max_connections(PublicApi::listener_options(api).max_connections);

  const bool tcp = std::any_of(api.listen.begin(), api.listen.end(), [](const auto& at) { return !at->is_unix(); });
  if (tcp && !(api.users.empty() && api.groups.empty())) {
    loop_.log().warning(kComponent, "api.allow does not apply to TCP: who connects there has no user");
  }
}

void Manager::tick() {
  tell_status();
  services_.look();
  api_.catch_up();
  // That it does not answer shows in the status.
  spawner_.look(loop_.ids().next(), std::max<Duration>(reload_.configuration().tick, std::chrono::seconds(1)))
      .otherwise([](const std::exception_ptr&) {})
      .detach();
}

void Manager::tell_status() {
  const Status now = overall_status();
  if (now.colour() == told_.colour() && now.reason() == told_.reason()) return;
  told_ = now;
  loop_.log().write(now.colour() == Status::Green ? LogLevel::Info : LogLevel::Warning, kComponent, "node status",
                    {{"colour", Status::Colour_Name(now.colour())}, {"reason", now.reason()}});
  daemon_.tell(now);
}

std::optional<Error> Manager::reload(const CorrelationId& id) {
  reloading_ = id;
  const ReloadResult result = reload_.reload(id);
  reloading_ = {};
  refused_ = result ? std::string() : summary(*result.error);
  if (result) kept_.keep(texts_);
  if (result.changed()) ++reloads_;
  if (!result) ++failed_reloads_;
  loop_.log().info(kComponent, result ? "configuration reloaded" : "configuration refused",
                   {{"version", result.version_after}, {"changed", result.changed()}}, id);
  tell_status();  // the daemon hears it before the answer
  if (result) return std::nullopt;
  return make_error(CONFIGURATION_REJECTED, one_line(*result.error));
}

public_api::ExplainResponse Manager::explain(const CorrelationId& id) {
  const Explanation explanation = loop_.explain(id);
  public_api::ExplainResponse answer;
  for (const Explanation::Wait& wait : explanation.waits()) {
    auto& told = *answer.add_waits();
    told.set_id(wait.id.str());
    told.set_what(std::string(wait.what));
    told.set_since_us(microseconds(explanation.now() - wait.since));
    if (wait.deadline != kNever) told.set_deadline_us(microseconds(wait.deadline - explanation.now()));
  }
  answer.set_omitted_waits(explanation.omitted_waits());
  for (const Step& step : explanation.steps()) {
    auto& told = *answer.add_steps();
    told.set_kind(std::string(to_string(step.kind)));
    told.set_since_us(microseconds(explanation.now() - step.at));
    told.set_what(std::string(step.what));
    told.set_bytes(step.bytes);
  }
  answer.set_orphans(explanation.orphans());
  return answer;
}

Promise<public_api::Trace> Manager::trace(const CorrelationId& about, const CorrelationId& id, Duration timeout) {
  const auto trace = std::make_shared<public_api::Trace>();
  const auto add = [trace](std::string_view process, TraceResponse&& told) {
    auto& part = *trace->add_parts();
    part.set_process(std::string(process));
    part.set_lines(static_cast<std::uint32_t>(told.lines_size()));
    part.set_omitted_lines(told.omitted_lines());
    for (TraceLine& line : *told.mutable_lines()) *trace->add_lines() = std::move(line);
  };
  const auto ask = [&](std::string_view process, Promise<TraceResponse> answer) {
    return std::move(answer)
        .then([add, process](TraceResponse&& told) { add(process, std::move(told)); })
        .otherwise([trace, process](const std::exception_ptr& error) {
          auto& part = *trace->add_parts();
          part.set_process(std::string(process));
          part.set_missing(snowfox::describe(error));
        });
  };
  add(kName, recorder_.find(about));
  std::vector<Promise<void>> others;
  others.push_back(ask("snow-fox-spawner", spawner_.trace(about, id, timeout)));
  others.push_back(ask("snow-fox-daemon", daemon_.trace(about, id, timeout)));
  return all(loop_, std::move(others)).then([trace] { return std::move(*trace); });
}

Status Manager::configuration_status() const {
  if (refused_.empty()) return make_status(Status::Green, "in force");
  return make_status(Status::Yellow, "refused, the one before goes on: " + refused_);
}

std::vector<Manager::NamedStatus> Manager::all_statuses() const {
  public_api::Api api;
  api_.describe(api);
  return {{"api", api.status()},
          {"configuration", configuration_status()},
          {"spawner", spawner_.status()},
          {"services", services_.status()}};
}

Status Manager::overall_status() const {
  NamedStatus worst{"", make_status(Status::Green, "as desired")};
  for (auto& one : all_statuses()) {
    if (badness(one.status.colour()) > badness(worst.status.colour())) worst = std::move(one);
  }
  if (worst.subsystem.empty()) return worst.status;
  return make_status(worst.status.colour(), fmt::format("{}: {}", worst.subsystem, worst.status.reason()));
}

public_api::NodeInfoResponse Manager::node_info() {
  public_api::NodeInfoResponse info;
  info.set_node_name(node_name());
  *info.mutable_version() = build_version();
  const ConfigurationMetadata& metadata = reload_.scope()->metadata();
  info.mutable_configuration()->set_effective_version(metadata.version);
  info.mutable_configuration()->set_symbolic_name(std::filesystem::path(metadata.name).filename().string());
  *info.mutable_status() = overall_status();
  return info;
}

Promise<public_api::NodeInfoResponse> Manager::detailed_node_info(const CorrelationId& id, Duration timeout) {
  return spawner_
      .look(id, timeout)
      // If it does not answer, the details say just that.
      .otherwise([](const std::exception_ptr&) {})
      .then([this] {
        auto info = node_info();
        describe(*info.mutable_details());
        return info;
      });
}

void Manager::describe(public_api::Details& details) {
  api_.describe(*details.mutable_api());
  if (public_listener_) details.mutable_api()->add_listening(public_listener_->address().str());
  for (const ListenerSource* listener : reload_.scope()->listeners()) {
    details.mutable_api()->add_listening(listener->local_address().str());
  }

  auto& configuration = *details.mutable_configuration();
  *configuration.mutable_status() = configuration_status();
  configuration.set_path(options_.configuration);
  configuration.set_reloads(reloads_);
  configuration.set_failed_reloads(failed_reloads_);
  configuration.set_loaded_at(utc(reload_.scope()->metadata().loaded_at));

  spawner_.describe(*details.mutable_spawner());
  daemon_.describe(*details.mutable_daemon());
  const auto add_history = [](public_api::Link& link, const daemon_manager::ChildHistory& history) {
    link.set_restarts(history.restarts());
    link.set_last_end(history.last_end());
  };
  add_history(*details.mutable_spawner(), supervision_.spawner());
  add_history(*details.mutable_daemon(), supervision_.manager());

  services_.describe(*details.mutable_services());
  details.mutable_services()->set_watches(static_cast<std::uint32_t>(api_.watches()));

  auto& loop = *details.mutable_loop();
  const LoopCounters& counters = loop_.counters();
  *loop.mutable_status() = make_status(Status::Green, "running");
  loop.set_events(counters.events);
  loop.set_failed_events(counters.failed);
  loop.set_slow_events(counters.slow);
  loop.set_turns(counters.turns);
  loop.set_sources(static_cast<std::uint32_t>(loop_.source_count()));
  loop.set_drains(static_cast<std::uint32_t>(loop_.drain_count()));
  loop.set_buffer_bytes(loop_.buffers().lent_bytes());

  auto& promises = *details.mutable_promises();
  const PromiseKeeper& keeper = spawner_.keeper();
  *promises.mutable_status() = make_status(Status::Green, "kept");
  promises.set_kept(static_cast<std::uint32_t>(keeper.size()));
  promises.set_fulfilled(keeper.counters().fulfilled);
  promises.set_rejected(keeper.counters().rejected);
  promises.set_timed_out(keeper.counters().timed_out);
  promises.set_orphans(keeper.counters().orphans);
}

}  // namespace snowfox::node
