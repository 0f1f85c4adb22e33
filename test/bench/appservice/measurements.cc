#include "measurements.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <utility>

#include <snowfox/promises/sleep.h>

#include "sqlite/faulty_disk.h"
#include "support/temporary_directory.h"

#include "parts.h"
#include "raw.h"

namespace snowfox::appservice_bench {
namespace {

using namespace std::chrono_literals;

double seconds_since(std::int64_t begun) { return static_cast<double>(now_ns() - begun) / 1e9; }

std::vector<std::string> events_of(std::size_t count) {
  std::vector<std::string> events;
  for (std::size_t i = 0; i < count; ++i) events.push_back(event_json(i, 0));
  return events;
}

/// Lists of `each` events, the last one perhaps shorter.
std::vector<std::string> lists_of(std::size_t first, std::size_t count, std::size_t each) {
  std::vector<std::string> lists;
  for (std::size_t i = 0; i < count; ++i) {
    std::string& list = i % each == 0 ? lists.emplace_back("[") : lists.back().append(",");
    list += event_json(first + i, 0);
  }
  for (std::string& list : lists) list += ']';
  return lists;
}

/// As they are stored.
std::vector<StoredEvent> stored_events(std::size_t count, std::size_t service) {
  std::vector<StoredEvent> events;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t number = service * 10'000'000 + i;
    events.push_back(std::move(read_client_events(event_json(number, service), 1'795'000'001'000, {}).at(0)));
  }
  return events;
}

/// An empty store as the daemon makes it.
void make_store(const std::string& directory) {
  in_child([&] {
    LoopManager loop;
    const SqliteStore store(loop, store_path(directory), 1'000'000);
    return std::vector<double>();
  });
}

/// A store in which so many events wait for each service.
void fill_store(const std::string& directory, std::size_t services, std::size_t events_each) {
  make_store(directory);
  in_child([&] {
    RawStore store(store_path(directory));
    for (std::size_t i = 0; i < services; ++i) {
      store.accept(stored_events(events_each, i), 0, events_each, service_id(i));
    }
    return std::vector<double>();
  });
}

/// Of those who submit lists: how many there are, and how many events are in each list.
constexpr std::size_t kListingClients = 8;
constexpr std::size_t kListedEvents = 100;

/// For what nobody tells: how often to look.
constexpr Duration kLook = 1ms;

/// Submits events one after the other.
struct Submitter {
  Parts& parts;
  const std::vector<std::string>& events;
  std::size_t next = 0;

  Task<> run() {
    while (next < events.size()) {
      const std::string& event = events[next++];
      Promise<std::vector<std::string>> durable = parts.intake().submit(event, nullptr, parts.loop().ids().next());
      co_await std::move(durable);
    }
  }
};

/// The seconds from the first event's submission until all are durable, so many of them at a time.
Task<> submit_all(Parts& parts, const std::vector<std::string>& events, std::size_t outstanding, Rate& rate) {
  co_await parts.start();
  const std::uint64_t commits = parts.store().database().status().commits;
  const std::int64_t begun = now_ns();
  Submitter submitter{parts, events};
  std::vector<Task<>> tasks;
  for (std::size_t i = 0; i < outstanding; ++i) tasks.push_back(submitter.run());
  for (Task<>& task : tasks) co_await std::move(task);
  const auto count = static_cast<double>(events.size());
  rate.per_second = count / seconds_since(begun);
  rate.events_per_commit = count / static_cast<double>(parts.store().database().status().commits - commits);
}

Task<> deliver_all(Parts& parts, const Shared& shared, std::uint64_t until) {
  co_await parts.start();
  while (shared.arrivals < until || !parts.idle()) co_await snowfox::sleep(parts.loop(), kLook);
}

Task<> submit_when_idle(Parts& parts, const Shared& shared, const std::vector<std::string>& events,
                        std::vector<double>& took) {
  co_await parts.start();
  for (const std::string& event : events) {
    const std::uint64_t arrivals = shared.arrivals;
    const std::int64_t begun = now_ns();
    Promise<std::vector<std::string>> durable = parts.intake().submit(event, nullptr, parts.loop().ids().next());
    co_await std::move(durable);
    while (shared.arrivals == arrivals || !parts.idle()) co_await snowfox::sleep(parts.loop(), kLook);
    took.push_back(static_cast<double>(shared.last_arrival - begun) / 1e6);
  }
}

double resident_kib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    double kib = 0;
    if (word == "VmRSS:" && status >> kib) return kib;
  }
  throw std::runtime_error("VmRSS is not told");
}

}  // namespace

double probe_sync() {
  const TemporaryDirectory directory;
  const int fd = ::open((directory / "probe").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::array<char, 4096> page{};
  std::vector<double> took;
  for (off_t i = 0; i < 50; ++i) {
    const std::int64_t begun = now_ns();
    if (::pwrite(fd, page.data(), page.size(), i * 4096) < 0 || ::fdatasync(fd) != 0) {
      throw std::runtime_error("a file cannot be written");
    }
    took.push_back(seconds_since(begun) * 1e6);
  }
  ::close(fd);
  std::nth_element(took.begin(), took.begin() + 25, took.end());
  return took[25];
}

// --- submitting: the service is down, so that nothing is measured but how events are taken in ---

Rate submit_in_process(Shared& shared, const Amounts& amounts) {
  shared.down = true;
  const TemporaryDirectory directory;
  const std::string configuration = write_configuration(directory.path(), shared, 1, 100);
  const std::vector<double> found = in_child([&] {
    const std::vector<std::string> events = events_of(amounts.submitted);
    Parts parts(configuration);
    Rate rate;
    parts.run(submit_all(parts, events, amounts.outstanding, rate));
    return std::vector{rate.per_second, rate.events_per_commit};
  });
  return {.per_second = found.at(0), .events_per_commit = found.at(1)};
}

Rate submit_by_http(Shared& shared, const Amounts& amounts, bool lists) {
  shared.down = true;
  shared.api_port = 0;
  const TemporaryDirectory directory;
  const std::string configuration = write_configuration(directory.path(), shared, 1, 100);
  Child daemon([&] { run_daemon(shared, configuration); });
  wait_for(daemon, [&] { return shared.api_port != 0; });
  const std::uint64_t commits = shared.commits;
  const std::vector<double> found = in_child([&] {
    const double took =
        lists ? submit_over_http(shared.api_port, lists_of(0, amounts.submitted, kListedEvents), kListingClients)
              : submit_over_http(shared.api_port, events_of(amounts.submitted), amounts.outstanding);
    return std::vector{took};
  });
  const auto count = static_cast<double>(amounts.submitted);
  const Rate rate{.per_second = count / found.at(0),
                  .events_per_commit = count / static_cast<double>(shared.commits - commits)};
  daemon.end();
  return rate;
}

double submit_raw(const Amounts& amounts, double events_per_commit) {
  const TemporaryDirectory directory;
  make_store(directory.path());
  const auto group = static_cast<std::size_t>(std::max(1.0, std::round(events_per_commit)));
  return in_child([&] {
           const std::vector<StoredEvent> events = stored_events(amounts.submitted, 0);
           const std::string service = service_id(0);
           RawStore store(store_path(directory.path()));
           const std::int64_t begun = now_ns();
           for (std::size_t i = 0; i < events.size(); i += group) {
             store.accept(events, i, std::min(i + group, events.size()), service);
           }
           return std::vector{static_cast<double>(events.size()) / seconds_since(begun)};
         })
      .at(0);
}

// --- delivering ---

double deliver(Shared& shared, std::size_t services, std::size_t transactions_each, std::size_t events_per_transaction,
               std::size_t slower_sync_us) {
  shared.down = false;
  const TemporaryDirectory directory;
  const std::string configuration = write_configuration(directory.path(), shared, services, events_per_transaction);
  fill_store(directory.path(), services, transactions_each * events_per_transaction);
  const std::uint64_t arrivals = shared.arrivals;
  const auto transactions = static_cast<double>(services * transactions_each);
  const double rate = in_child([&] {
                        const FaultyDisk disk;
                        FaultyDisk::sync_delay_us = static_cast<unsigned>(slower_sync_us);
                        Parts parts(configuration);
                        const std::int64_t begun = now_ns();
                        parts.run(deliver_all(parts, shared, arrivals + services * transactions_each));
                        return std::vector{transactions / seconds_since(begun)};
                      }).at(0);
  if (static_cast<double>(shared.arrivals - arrivals) != transactions) {
    throw std::runtime_error("not every transaction has arrived once");
  }
  return rate;
}

double deliver_raw(Shared& shared, std::size_t transactions, std::size_t events_per_transaction,
                   std::size_t slower_sync_us) {
  shared.down = false;
  const TemporaryDirectory directory;
  fill_store(directory.path(), 1, transactions * events_per_transaction);
  return in_child([&] {
           const FaultyDisk disk;
           FaultyDisk::sync_delay_us = static_cast<unsigned>(slower_sync_us);
           const std::string service = service_id(0);
           RawStore store(store_path(directory.path()));
           RawSender sender(shared.ports[0], "hs-" + service);
           const std::int64_t begun = now_ns();
           std::size_t sent = 0;
           for (auto next = store.advance(service, 0, events_per_transaction); next; ++sent) {
             sender.send(*next);
             next = store.advance(service, next->id, events_per_transaction);
           }
           if (sent != transactions) throw std::runtime_error("not every transaction was sent");
           return std::vector{static_cast<double>(transactions) / seconds_since(begun)};
         })
      .at(0);
}

// --- one event of an idle service ---

std::vector<double> latencies(Shared& shared, const Amounts& amounts) {
  shared.down = false;
  const TemporaryDirectory directory;
  const std::string configuration = write_configuration(directory.path(), shared, 1, 100);
  return in_child([&] {
    const std::vector<std::string> events = events_of(amounts.idle);
    Parts parts(configuration);
    std::vector<double> took;
    parts.run(submit_when_idle(parts, shared, events, took));
    return took;
  });
}

std::vector<double> latencies_raw(Shared& shared, const Amounts& amounts) {
  shared.down = false;
  const TemporaryDirectory directory;
  make_store(directory.path());
  return in_child([&] {
    const std::vector<StoredEvent> events = stored_events(amounts.idle, 0);
    const std::string service = service_id(0);
    RawStore store(store_path(directory.path()));
    RawSender sender(shared.ports[0], "hs-" + service);
    std::vector<double> took;
    for (const StoredEvent& event : events) {
      const std::int64_t begun = now_ns();
      const Transaction transaction = store.accept_and_freeze(event, service);
      sender.send(transaction);
      took.push_back(static_cast<double>(shared.last_arrival - begun) / 1e6);
      store.advance(service, transaction.id, 100);
    }
    return took;
  });
}

// --- a service that is down for long ---

Memory measure_backlog(Shared& shared, const Amounts& amounts) {
  constexpr std::size_t kSlice = 100'000;
  const TemporaryDirectory directory;
  const std::string configuration = write_configuration(directory.path(), shared, 1, 100);
  Memory memory;

  shared.down = true;
  shared.api_port = 0;
  std::int64_t begun = now_ns();
  {
    Child daemon([&] { run_daemon(shared, configuration); });
    wait_for(daemon, [&] { return shared.api_port != 0; });
    memory.empty_restart_ms = seconds_since(begun) * 1e3;
    // One submission over as many connections, so that what the first ones cost is in both figures.
    std::size_t number = 0;
    const auto submit = [&](std::size_t count) {
      return in_child([&] {
               return std::vector{
                   submit_over_http(shared.api_port, lists_of(number, count, kListedEvents), kListingClients)};
             })
          .at(0);
    };
    const std::size_t first = kListedEvents * kListingClients;
    submit(first);
    number += first;
    memory.empty_kib = resident_kib(daemon.pid());
    while (number < amounts.backlog) {
      const std::size_t count = std::min(kSlice, amounts.backlog - number);
      memory.submit_seconds += submit(count);
      number += count;
    }
    memory.full_kib = resident_kib(daemon.pid());
    daemon.end();
  }
  memory.store_bytes = static_cast<double>(std::filesystem::file_size(store_path(directory.path())));

  shared.down = false;
  shared.api_port = 0;
  const std::uint64_t arrivals = shared.arrivals;
  begun = now_ns();
  Child daemon([&] { run_daemon(shared, configuration); });
  wait_for(daemon, [&] { return shared.arrivals > arrivals; });
  memory.restart_ms = static_cast<double>(shared.last_arrival - begun) / 1e6;
  memory.restarted_kib = resident_kib(daemon.pid());
  return memory;
}

}  // namespace snowfox::appservice_bench
