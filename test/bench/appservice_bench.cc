// appservice_bench [--rounds N] [--quick] [--only NAME...]: what the application-service scheduler does in a second,
// beside SQLite and libcurl doing the same without it, one after the other in rounds; how long one event takes; and
// what a long backlog costs. Files are made in TMPDIR, else /tmp: that should be a disk.

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "appservice/measurements.h"
#include "appservice/parts.h"

namespace {

using namespace snowfox::appservice_bench;

double quantile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<std::size_t>(part * static_cast<double>(values.size())))];
}
double median(const std::vector<double>& values) { return quantile(values, 0.5); }
/// From the least to the most, in parts of the median.
std::string spread(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return fmt::format("{:.0f}%", (*most - *least) / median(values) * 100);
}

/// Something that both do, round by round.
struct Comparison {
  std::string name;
  std::string goal;
  std::vector<double> ours{};
  std::vector<double> bare{};
  std::vector<double> events_per_commit{};

  void print() const {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / bare[i]);
    const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
    fmt::print("{:34} {:>9.0f} {:>7} {:>9.0f} {:>7} {:>7.2f} {:>12} {:>6}", name, median(ours), spread(ours),
               median(bare), spread(bare), median(ratios), fmt::format("{:.2f}-{:.2f}", *least, *most), goal);
    if (!events_per_commit.empty()) fmt::print("   {:.0f} events a commit", median(events_per_commit));
    fmt::print("\n");
  }
};

struct Latency {
  std::vector<double> ours{};
  std::vector<double> bare{};

  void print() const {
    fmt::print("\nlatency of an idle service's event, ms   ours   bare  ratio   ({} each)\n", ours.size());
    for (const double part : {0.5, 0.9, 0.99}) {
      const double our = quantile(ours, part);
      const double other = quantile(bare, part);
      fmt::print("{:38} {:6.2f} {:6.2f} {:6.2f}\n", fmt::format("p{:.0f}", part * 100), our, other, our / other);
    }
  }
};

void print(const Memory& memory, const Amounts& amounts) {
  const auto count = static_cast<double>(amounts.backlog);
  fmt::print("\nbacklog of {} events for a service that is down\n", amounts.backlog);
  fmt::print("  resident: {:.1f} MiB when empty, {:.1f} MiB full, {:.1f} MiB after a restart\n",
             memory.empty_kib / 1024, memory.full_kib / 1024, memory.restarted_kib / 1024);
  fmt::print("  submitted in lists of 100 at {:.0f} events/s; store {:.0f} MiB\n", count / memory.submit_seconds,
             memory.store_bytes / 1024 / 1024);
  fmt::print("  from the restart to the first transaction: {:.0f} ms (listening with an empty store: {:.0f} ms)\n",
             memory.restart_ms, memory.empty_restart_ms);
}

/// What is measured, by the names that --only takes.
class Report {
 public:
  Report(Shared& shared, const Amounts& amounts, const std::vector<std::string>& only)
      : shared_(shared), amounts_(amounts), only_(only) {
    fast_.name = fmt::format("1 service, a sync {:.0f} ms slower", static_cast<double>(amounts.slower_sync_us) / 1e3);
    many_.name = fmt::format("{} services beside 1 of ours, same", amounts.services);
  }

  void round() {
    probes_.push_back(probe_sync());
    if (wanted("submit")) {
      submit(in_process_, submit_in_process(shared_, amounts_));
      submit(listed_, submit_by_http(shared_, amounts_, true));
      submit(over_http_, submit_by_http(shared_, amounts_, false));
    }
    if (wanted("delivery")) {
      single_.ours.push_back(deliver(shared_, 1, amounts_.single, 1, 0));
      single_.bare.push_back(deliver_raw(shared_, amounts_.single, 1, 0));
      hundreds_.ours.push_back(deliver(shared_, 1, amounts_.hundreds, 100, 0));
      hundreds_.bare.push_back(deliver_raw(shared_, amounts_.hundreds, 100, 0));
    }
    if (wanted("services")) {
      const std::size_t alone = 10 * amounts_.of_each;
      fast_.ours.push_back(deliver(shared_, 1, alone, 1, amounts_.slower_sync_us));
      fast_.bare.push_back(deliver_raw(shared_, alone, 1, amounts_.slower_sync_us));
      many_.ours.push_back(deliver(shared_, amounts_.services, amounts_.of_each, 1, amounts_.slower_sync_us));
      many_.bare.push_back(fast_.ours.back());
    }
    if (wanted("latency")) {
      append(latency_.ours, latencies(shared_, amounts_));
      append(latency_.bare, latencies_raw(shared_, amounts_));
    }
  }

  void print_all() const {
    fmt::print("fdatasync of 4 KiB: {:.0f} us, from {:.0f} to {:.0f}\n\n", median(probes_), quantile(probes_, 0),
               quantile(probes_, 1));
    fmt::print("{:34} {:>9} {:>7} {:>9} {:>7} {:>7} {:>12} {:>6}\n", "a second, median", "ours", "spread", "bare",
               "spread", "ratio", "of rounds", "goal");
    for (const Comparison* comparison : {&in_process_, &listed_, &over_http_, &single_, &hundreds_, &fast_, &many_}) {
      if (!comparison->ours.empty()) comparison->print();
    }
    if (!latency_.ours.empty()) latency_.print();
  }

  bool wanted(const std::string& name) const {
    return only_.empty() || std::find(only_.begin(), only_.end(), name) != only_.end();
  }

 private:
  void submit(Comparison& comparison, const Rate& ours) {
    comparison.ours.push_back(ours.per_second);
    comparison.events_per_commit.push_back(ours.events_per_commit);
    comparison.bare.push_back(submit_raw(amounts_, ours.events_per_commit));
  }
  static void append(std::vector<double>& to, const std::vector<double>& from) {
    to.insert(to.end(), from.begin(), from.end());
  }

  Shared& shared_;
  const Amounts& amounts_;
  const std::vector<std::string>& only_;
  std::vector<double> probes_;
  Comparison in_process_{.name = "submit: events, in process", .goal = "0.80"};
  Comparison listed_{.name = "submit: over HTTP, in lists of 100", .goal = "0.80"};
  Comparison over_http_{.name = "submit: over HTTP, each alone", .goal = "0.80"};
  Comparison single_{.name = "1 service: transactions of 1", .goal = "0.90"};
  Comparison hundreds_{.name = "1 service: transactions of 100", .goal = "0.90"};
  Comparison fast_{.name = {}, .goal = "0.90"};
  Comparison many_{.name = {}, .goal = "10.00"};
  Latency latency_;
};

Amounts quick(Amounts amounts) {
  amounts.submitted /= 8;
  amounts.single /= 8;
  amounts.hundreds /= 8;
  amounts.of_each /= 3;
  amounts.idle /= 4;
  amounts.backlog /= 10;
  return amounts;
}

/// Enough to see that everything works.
Amounts tiny() {
  return {.submitted = 50,
          .outstanding = 10,
          .single = 5,
          .hundreds = 2,
          .services = 3,
          .of_each = 2,
          .slower_sync_us = 100,
          .idle = 3,
          .backlog = 1000};
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("The application-service scheduler beside SQLite and libcurl", "appservice_bench");
  std::size_t rounds = 5;
  bool less = false;
  bool least = false;
  std::size_t backlog = 0;
  std::vector<std::string> only;
  app.add_option("--rounds", rounds, "Each measurement so many times")->check(CLI::Range(1, 1000));
  app.add_flag("--quick", less, "Smaller amounts");
  app.add_flag("--tiny", least, "Only see whether it works");
  app.add_option("--backlog", backlog, "Events that wait, for `memory`; 1000000 unless told")
      ->check(CLI::Range(1000, 100'000'000));
  app.add_option("--only", only, "These")
      ->check(CLI::IsMember({"submit", "delivery", "services", "latency", "memory"}));
  CLI11_PARSE(app, argc, argv);

  Amounts amounts = least ? tiny() : less ? quick({}) : Amounts{};
  if (backlog > 0) amounts.backlog = backlog;
  Shared& shared = share_memory();
  Child services([&] { serve(shared, amounts.services); });
  wait_for(services, [&] { return shared.ports[amounts.services - 1] != 0; });

  Report report(shared, amounts, only);
  for (std::size_t i = 0; i < rounds; ++i) report.round();
  report.print_all();
  if (report.wanted("memory")) print(measure_backlog(shared, amounts), amounts);
} catch (const std::exception& error) {
  fmt::print(stderr, "appservice_bench: {}\n", error.what());
  return 1;
}
