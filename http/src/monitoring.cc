#include <snowfox/http/monitoring.h>

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>

#include <snowfox/core/loop_manager.h>
#include <snowfox/http/http_source.h>
#include <snowfox/sources/listener_source.h>

#include "json_text.h"

namespace snowfox {
namespace {

constexpr std::string_view kJson = "application/json";

double processor_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  constexpr double kMicro = 1e-6;
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * kMicro;
}

double resident_bytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long all = 0;
  unsigned long long resident = 0;
  const int read = std::fscanf(file, "%llu %llu", &all, &resident);
  std::fclose(file);
  return read == 2 ? static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) : 0;
}

double open_descriptors() {
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  int count = -1;  // without this one
  while (const dirent* const entry = readdir(directory)) count += entry->d_name[0] != '.' ? 1 : 0;
  closedir(directory);
  return count;
}

}  // namespace

Monitoring::Monitoring(LoopManager& loop) : loop_(loop) {
  add_loop_metrics();
  add_process_metrics();
}

Monitoring::Monitoring(LoopManager& loop, const Address& address) : Monitoring(loop) {
  protocol_ = std::make_unique<HttpProtocol>();
  add_to(*protocol_);
  listener_ = std::make_unique<ListenerSource>(
      loop, address, ListenerOptions{},
      [this](const ListenerSource::Connection& client) { serve_http(loop_, client.channel, *protocol_); });
  // A daemon does not go on for the sake of who looks at it.
  listener_->set_background(true);
}

Monitoring::~Monitoring() = default;

Address Monitoring::local_address() const { return listener_->local_address(); }

void Monitoring::add_loop_metrics() {
  const auto count = [this](std::string_view name, std::string_view help, std::uint64_t LoopCounters::*counter) {
    metrics.counter_from(name, help, [this, counter] { return static_cast<double>(loop_.counters().*counter); });
  };
  count("snowfox_loop_turns_total", "Turns of the event loop.", &LoopCounters::turns);
  count("snowfox_loop_events_total", "Events handled.", &LoopCounters::events);
  count("snowfox_loop_rescued_total", "Events whose handler threw and whose rescue() did not.", &LoopCounters::rescued);
  count("snowfox_loop_failed_total", "Events whose handler and rescue() threw.", &LoopCounters::failed);
  count("snowfox_loop_expired_total", "Events not begun, for their deadline had passed.", &LoopCounters::expired);
  count("snowfox_loop_slow_total", "Events that took longer than the slow-handler limit.", &LoopCounters::slow);
  count("snowfox_loop_enqueued_bytes_total", "Bytes enqueued in drains.", &LoopCounters::enqueued_bytes);
  count("snowfox_loop_flushed_bytes_total", "Bytes flushed by drains.", &LoopCounters::flushed_bytes);
  count("snowfox_loop_dropped_bytes_total", "Bytes that drains had to drop.", &LoopCounters::dropped_bytes);
  metrics.gauge_from("snowfox_loop_sources", "Sources of the event loop.",
                     [this] { return static_cast<double>(loop_.source_count()); });
  metrics.gauge_from("snowfox_loop_drains", "Drains of the event loop.",
                     [this] { return static_cast<double>(loop_.drain_count()); });
}

void Monitoring::add_process_metrics() {
  metrics.counter_from("process_cpu_seconds_total", "Processor time used, in seconds.", processor_seconds);
  metrics.gauge_from("process_resident_memory_bytes", "Resident memory, in bytes.", resident_bytes);
  metrics.gauge_from("process_open_fds", "Open file descriptors.", open_descriptors);
}

void Monitoring::watch(const HttpProtocol& protocol, std::string_view name) {
  const Metrics::Labels server{{"server", name}};
  const HttpCounters& counters = protocol.counters();
  metrics.gauge_from(
      "snowfox_http_connections", "Open connections.",
      [&counters] { return static_cast<double>(counters.connections); }, server);
  metrics.counter_from(
      "snowfox_http_accepted_total", "Connections accepted.",
      [&counters] { return static_cast<double>(counters.accepted); }, server);
  metrics.counter_from(
      "snowfox_http_requests_total", "Requests given to a handler.",
      [&counters] { return static_cast<double>(counters.requests); }, server);
  metrics.counter_from(
      "snowfox_http_refused_total", "Requests that no handler was given.",
      [&counters] { return static_cast<double>(counters.refused); }, server);
  for (std::size_t i = 2; i < counters.answers_by_class.size(); ++i) {
    const std::string status = std::to_string(i) + "xx";
    metrics.counter_from("snowfox_http_answers_total", "Answers begun, by the class of their status.",
                         [&counters, i] { return static_cast<double>(counters.answers_by_class[i]); },
                         {{"server", name}, {"status", status}});
  }
  ready_when(std::string(name) + " is shutting down", [&protocol] { return !protocol.finishing(); });
}

void Monitoring::ready_when(std::string_view what, std::function<bool()> check) {
  checks_.emplace_back(what, std::move(check));
}

void Monitoring::answer_ready(HttpEvent& event) const {
  std::string missing;
  for (const auto& [what, check] : checks_) {
    if (check()) continue;
    if (!missing.empty()) missing += ',';
    missing += json_text(what);
  }
  if (missing.empty()) {
    event.answer({.content_type = kJson, .body = R"({"ready":true})"});
  } else {
    event.answer({.status = 503, .content_type = kJson, .body = R"({"ready":false,"not_ready":[)" + missing + "]}"});
  }
}

void Monitoring::add_to(HttpProtocol& protocol) {
  protocol.router.add("GET", "/metrics", [this](HttpEvent& event) {
    event.answer({.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics.text()});
  });
  protocol.router.add("GET", "/live",
                      [](HttpEvent& event) { event.answer({.content_type = kJson, .body = R"({"live":true})"}); });
  protocol.router.add("GET", "/ready", [this](HttpEvent& event) { answer_ready(event); });
}

}  // namespace snowfox
