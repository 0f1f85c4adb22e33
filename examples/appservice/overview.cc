#include "appservice/overview.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <string_view>
#include <tuple>
#include <utility>

namespace snowfox::appservice {
namespace {

/// So much of a foreign text is shown.

enum class Trouble : std::uint8_t { Down, Parked, Paused, Backlog, None };

Trouble trouble_of(const DeliveryStatus& status) noexcept {
  if (!status.up) return Trouble::Down;
  if (status.parked > 0) return Trouble::Parked;
  if (status.paused) return Trouble::Paused;
  return status.backlog > 0 ? Trouble::Backlog : Trouble::None;
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool contains(std::string_view text, std::string_view part) noexcept {
  return std::search(text.begin(), text.end(), part.begin(), part.end(),
                     [](char left, char right) { return lower(left) == lower(right); }) != text.end();
}

/// Without user and password, should it have them.
std::string shown_url(const std::string& url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return url;
  const std::size_t host = scheme + 3;
  const std::size_t at = url.rfind('@', url.find_first_of("/?#", host));
  if (at == std::string::npos || at < host) return url;
  return url.substr(0, host) + url.substr(at + 1);
}

template <typename T>
nlohmann::json or_null(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

class Fingerprint {
 public:
  void add(std::uint64_t number) noexcept {
    constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;  // as in boost::hash_combine
    value_ ^= number + kGolden + (value_ << 6) + (value_ >> 2);
  }
  void add(std::string_view text) noexcept { add(std::hash<std::string_view>()(text)); }
  std::uint64_t value() const noexcept { return value_; }

 private:
  std::uint64_t value_ = 0;
};

}  // namespace

std::string json_line(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Overview::Overview(LoopManager& loop, Scheduler& scheduler, const Store& store, OverviewFacts facts)
    : loop_(loop),
      scheduler_(scheduler),
      store_(store),
      facts_(std::move(facts)),
      started_(wall_milliseconds(loop)),
      now_(started_) {}

void Overview::take() {
  now_ = wall_milliseconds(loop_);
  rows_.clear();
  std::uint64_t up = 0, paused = 0, waiting = 0, backlog = 0, parked = 0;
  for (std::size_t i = 0; i < scheduler_.size(); ++i) {
    const Delivery& delivery = scheduler_.at(i);
    const DeliveryStatus& status = rows_.emplace_back(Row{&delivery, delivery.status()}).status;
    up += status.up ? 1 : 0;
    paused += status.paused ? 1 : 0;
    waiting += status.backlog > 0 ? 1 : 0;
    backlog += status.backlog;
    parked += status.parked;
  }
  std::sort(rows_.begin(), rows_.end(), [](const Row& left, const Row& right) {
    const Trouble of_left = trouble_of(left.status), of_right = trouble_of(right.status);
    return std::tie(of_left, left.delivery->registration().id) < std::tie(of_right, right.delivery->registration().id);
  });
  totals_ = {{"services", rows_.size()}, {"up", up},           {"down", rows_.size() - up}, {"paused", paused},
             {"waiting", waiting},       {"backlog", backlog}, {"parked", parked}};
  unregistered_ = scheduler_.unregistered();
  trouble_ = store_.trouble();
  intake_ = facts_.intake();
  fingerprint_ = fingerprint_now();
}

std::uint64_t Overview::fingerprint_now() const {
  Fingerprint all;
  for (const auto& [delivery, status] : rows_) {
    all.add(delivery->registration().id);
    all.add(delivery->registration().url.value_or(""));
    all.add(status.doing);
    all.add(status.last_error);
    for (const std::uint64_t number :
         {std::uint64_t{status.up}, std::uint64_t{status.paused}, status.backlog, status.parked,
          static_cast<std::uint64_t>(status.transaction), std::uint64_t{status.failures}, status.sent_transactions,
          status.failed_transactions, status.sent_events, static_cast<std::uint64_t>(status.oldest.value_or(0)),
          static_cast<std::uint64_t>(status.down_since.value_or(0))}) {
      all.add(number);
    }
  }
  for (const ServiceRecord& record : unregistered_) {
    all.add(record.id);
    all.add(record.backlog);
    all.add(record.parked);
  }
  all.add(facts_.store);
  all.add(trouble_);
  all.add(json_line(intake_));
  return all.value();
}

nlohmann::json Overview::shown(const Delivery& delivery, const DeliveryStatus& status) const {
  const Registration& registration = delivery.registration();
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  nlohmann::json result{
      {"id", registration.id},
      {"url", nullptr},
      {"state", status.up ? "up" : "down"},
      {"paused", status.paused},
      {"doing", status.doing},
      {"backlog", status.backlog},
      {"parked", status.parked},
      {"transaction", status.transaction},
      {"failures", status.failures},
      {"oldest_age_ms", nullptr},
      {"next_retry_ms", nullptr},
      {"last_error", status.last_error},
      {"down_since", or_null(status.down_since)},
      {"sent_transactions", status.sent_transactions},
      {"failed_transactions", status.failed_transactions},
      {"sent_events", status.sent_events},
  };
  if (registration.url) result["url"] = shown_url(*registration.url);
  if (status.oldest) result["oldest_age_ms"] = std::max<Milliseconds>(0, now_ - *status.oldest);
  if (status.next_retry) result["next_retry_ms"] = duration_cast<milliseconds>(*status.next_retry).count();
  return result;
}

nlohmann::json Overview::service(const Delivery& delivery) const { return shown(delivery, delivery.status()); }

std::string Overview::text(const OverviewQuery& query) const {
  nlohmann::json services = nlohmann::json::array();
  std::size_t matching = 0;
  for (const auto& [delivery, status] : rows_) {
    const Registration& registration = delivery->registration();
    if (!query.service.empty() && registration.id != query.service) continue;
    if (!contains(registration.id, query.match) &&
        !(registration.url && contains(shown_url(*registration.url), query.match))) {
      continue;
    }
    if (matching++ >= query.offset && services.size() < query.limit) services.push_back(shown(*delivery, status));
  }
  nlohmann::json unregistered = nlohmann::json::array();
  for (const ServiceRecord& record : unregistered_) {
    if (unregistered.size() == OverviewQuery::kMostLimit) break;
    unregistered.push_back({{"id", record.id}, {"backlog", record.backlog}, {"parked", record.parked}});
  }
  return json_line({
      {"version", facts_.version},
      {"started", started_},
      {"now", now_},
      {"store", {{"where", facts_.store}, {"trouble", trouble_}, {"backlog_bytes", store_.backlog_bytes()}}},
      {"intake", intake_},
      {"totals", totals_},
      {"matching", matching},
      {"services", std::move(services)},
      {"unregistered", std::move(unregistered)},
  });
}

}  // namespace snowfox::appservice
