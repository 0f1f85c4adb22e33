#include "manager/services.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <set>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include <snowfox/core/error.h>
#include <snowfox/promises/sleep.h>
#include <snowfox/promises/task.h>

#include "common/message.h"
#include "common/service_id.h"
#include "common/state_file.h"
#include "common/status.h"

namespace snowfox::node {
namespace {

constexpr std::string_view kComponent = "services";
constexpr Duration kAnswerTimeout = std::chrono::seconds(10);
/// When the node ends: of the time there is, so much in a hundred is for services to stop before they are killed.
constexpr int kStopShare = 70;
constexpr Duration kLookAgain = std::chrono::milliseconds(5);

void drop(Promise<void> promise) {
  std::move(promise).otherwise([](const std::exception_ptr&) {}).detach();
}

}  // namespace

class Services::Plan {
 public:
  std::map<std::string, std::unique_ptr<Service>> added;
  std::map<std::string, ServiceConfiguration> configured;  // that are there
  std::vector<std::string> removed;
};

Services::Services(LoopManager& loop, SpawnerLink& spawner, const RunDirectory& directory, OnChanged on_changed)
    : loop_(loop),
      spawner_(spawner),
      directory_(directory),
      on_changed_(std::move(on_changed)),
      boot_id_(boot_id(loop.io())) {
  load();
}

Services::~Services() = default;

// --- configurations ---

std::unique_ptr<Service> Services::make(ServiceConfiguration configuration) {
  std::string pipe = directory_.service_output(*configuration.id);
  return std::make_unique<Service>(loop_, spawner_, std::move(configuration), std::move(pipe),
                                   [this](Service& service) { changed(service); });
}

std::shared_ptr<Services::Plan> Services::prepare(const std::vector<ServiceConfiguration>& wanted) {
  auto plan = std::make_shared<Plan>();
  std::set<std::string_view> ids;
  for (const ServiceConfiguration& configuration : wanted) {
    const std::string& id = *configuration.id;
    ids.insert(id);
    if (services_.contains(id) || leaving_.contains(id)) {
      plan->configured.emplace(id, configuration);
    } else {
      plan->added.emplace(id, make(configuration));
    }
  }
  for (const auto& [id, service] : services_) {
    if (!ids.contains(id)) plan->removed.push_back(id);
  }
  return plan;
}

void Services::apply(Plan& plan, const CorrelationId& origin) noexcept {
  for (const std::string& id : plan.removed) remove(id, origin);
  for (auto& [id, configuration] : plan.configured) {
    const bool again = !services_.contains(id);
    if (again) services_.insert(leaving_.extract(id));
    Service& service = *services_.find(id)->second;
    service.configure(std::move(configuration), origin);
    if (again && service.configuration().autostart) log_if_possible([&] { drop(service.start(origin)); });
  }
  while (!plan.added.empty()) {
    const auto entry = services_.insert(plan.added.extract(plan.added.begin())).position;
    Service& service = *entry->second;
    log_if_possible([&] {
      const auto& states = former_.services();
      const auto state =
          std::find_if(states.begin(), states.end(), [&](const auto& one) { return one.id() == service.id(); });
      service.restore(state == states.end() ? nullptr : &*state, origin);
      if (taken_up_) service.take_up(nullptr);
      changed(service);
    });
  }
}

void Services::remove(const std::string& id, const CorrelationId& origin) {
  auto entry = services_.extract(id);
  if (!entry) return;
  Service& service = *leaving_.insert(std::move(entry)).position->second;
  log_if_possible([&] {
    loop_.log().info(kComponent, "not configured any more", {{"service", id}}, origin);
    drop(service.stop(origin));
    on_changed_(service.describe(), true);
    changed(service);  // also if there was nothing to stop, so that it goes
  });
}

void Services::forget_removed() {
  std::erase_if(leaving_, [](const auto& entry) {
    Service& service = *entry.second;
    if (service.has_process() || service.state() != public_api::Service::Stopped) return false;
    service.remove_pipe();
    return true;
  });
}

// --- the spawner ---

Promise<void> Services::take_up() {
  return spawner_.list(kAnswerTimeout).then([this](const manager_spawner::ProcessListResponse& there) {
    std::map<std::string_view, const manager_spawner::Process*> processes;
    for (const auto& process : there.processes()) {
      // What is no service's is left alone: nothing may be made of such an id, a pipe's path for instance.
      if (is_service_id(process.service()) && process.pid() > 0) processes.emplace(process.service(), &process);
    }
    for (const auto& [id, process] : processes) {
      if (services_.contains(std::string(id)) || leaving_.contains(std::string(id)) || process->has_exit()) continue;
      ServiceConfiguration unknown;
      unknown.id.value = std::string(id);
      unknown.output.kind = OutputSettings::Kind::Discard;
      loop_.log().warning(kComponent, "stopped: not configured", {{"service", id}, {"pid", process->pid()}});
      leaving_.emplace(id, make(std::move(unknown)));
    }
    taken_up_ = true;
    in_doubt_ = false;
    former_.Clear();
    for (auto* all : {&services_, &leaving_}) {
      for (const auto& [id, service] : *all) {
        const auto process = processes.find(id);
        service->take_up(process == processes.end() ? nullptr : process->second);
        changed(*service);
      }
    }
  });
}

void Services::spawner_gone() noexcept {
  in_doubt_ = true;
  for (const auto& [id, service] : services_) service->spawner_gone();
  for (const auto& [id, service] : leaving_) service->spawner_gone();
}

void Services::look() {
  if (!in_doubt_ || ending_ || !spawner_.is_open()) return;
  take_up()
      .otherwise([this](const std::exception_ptr& error) {
        loop_.log().warning(kComponent, "the spawner does not tell what runs", {{"reason", snowfox::describe(error)}});
      })
      .detach();
}

void Services::exited(const manager_spawner::Process& process) {
  for (auto* all : {&services_, &leaving_}) {
    const auto found = all->find(process.service());
    if (found != all->end()) found->second->exited(process);
  }
}

// --- clients ---

Service& Services::find(const std::string& id) const {
  const auto found = services_.find(id);
  if (found != services_.end()) return *found->second;
  throw RemoteError(make_error(NO_SUCH_SERVICE, fmt::format("no service '{}' is configured", id)));
}

Promise<void> Services::start(const std::string& id, const std::string& version, const CorrelationId& origin) {
  Service& service = find(id);
  const std::string& configured = service.configuration().version;
  if (!version.empty() && version != configured) {
    throw RemoteError(make_error(
        FAILED, fmt::format("service {} is configured with the version '{}', not '{}'", id, configured, version)));
  }
  return service.start(origin);
}

Promise<void> Services::stop(const std::string& id, const CorrelationId& origin) { return find(id).stop(origin); }
Promise<void> Services::restart(const std::string& id, const CorrelationId& origin) { return find(id).restart(origin); }

std::vector<public_api::Service> Services::list(const std::string& id) const {
  if (!id.empty()) return {find(id).describe()};
  std::vector<public_api::Service> all;
  for (const auto& [name, service] : services_) all.push_back(service->describe());
  return all;
}

Status Services::status() const {
  Status worst = make_status(Status::Green, services_.empty() ? "none are configured" : "as desired");
  std::size_t as_bad = 0;
  for (const auto& [id, service] : services_) {
    const Status one = service->describe().status();
    if (badness(one.colour()) > badness(worst.colour())) {
      worst = make_status(one.colour(), fmt::format("{}: {}", id, one.reason()));
      as_bad = 0;
    } else if (one.colour() != Status::Green && one.colour() == worst.colour()) {
      ++as_bad;
    }
  }
  if (as_bad != 0) worst.set_reason(fmt::format("{} (and {} more)", worst.reason(), as_bad));
  return worst;
}

void Services::describe(public_api::Services& services) const {
  *services.mutable_status() = status();
  services.set_configured(static_cast<std::uint32_t>(services_.size()));
  std::uint32_t running = 0;
  std::uint64_t restarts = 0;
  for (const auto& [id, service] : services_) {
    if (service->state() == public_api::Service::Running) ++running;
    restarts += service->restarts();
  }
  services.set_running(running);
  services.set_restarts(restarts);
}

// --- the end ---

Promise<void> Services::shut_down(Duration patience, const CorrelationId& origin) {
  ending_ = true;
  loop_.io().remove(state_file());
  std::vector<Service*> stopping;
  for (auto* all : {&services_, &leaving_}) {
    for (const auto& [id, service] : *all) {
      if (service->configuration().on_shutdown == OnShutdown::Leave) continue;
      stopping.push_back(service.get());
      drop(service->stop_within(patience * kStopShare / 100, origin));
    }
  }
  // None is destroyed from now on, see save().
  return [](LoopManager& loop, std::vector<Service*> services, TimePoint deadline) -> Task<> {
    const auto done = [](const Service* service) { return !service->has_process() && service->output_read(); };
    while (loop.now() < deadline && !std::all_of(services.begin(), services.end(), done))
      co_await sleep(loop, kLookAgain);
    for (Service* service : services) service->remove_pipe();
  }(loop_, std::move(stopping), deadline_after(loop_.now(), patience))
                                                                                          .promise(loop_);
}

// --- what another manager is to know ---

void Services::changed(Service& service) {
  if (!std::exchange(unsaved_, true)) loop_.defer(saving_);
  if (services_.contains(service.id())) on_changed_(service.describe(), false);
}

void Services::load() {
  const auto content = read_state_file(loop_.io(), state_file());
  if (!content) return;
  if (!former_.ParseFromString(*content)) {
    loop_.log().error(kComponent, "what the former manager has left cannot be read: services begin anew",
                      {{"path", state_file()}});
    former_.Clear();
  }
  if (former_.boot_id() != boot_id_) former_.Clear();
}

void Services::save() noexcept {
  unsaved_ = false;
  if (ending_ || !taken_up_) return;
  try {
    forget_removed();
    manager_state::State state;
    state.set_boot_id(boot_id_);
    for (const auto* all : {&services_, &leaving_}) {
      for (const auto& [id, service] : *all) service->save(*state.add_services());
    }
    write_state_file(loop_.io(), state_file(), state.SerializeAsString());
  } catch (const std::exception& error) {
    loop_.log().error(kComponent, "the state of services is not written down", {{"reason", error.what()}});
  }
}

}  // namespace snowfox::node
