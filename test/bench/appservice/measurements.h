#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "children.h"

namespace snowfox::appservice_bench {

/// How much is measured.
struct Amounts {
  std::size_t submitted = 100'000;     ///< events
  std::size_t outstanding = 1'000;     ///< of those that are submitted alone
  std::size_t single = 2'000;          ///< transactions of one event
  std::size_t hundreds = 300;          ///< transactions of a hundred events
  std::size_t services = 100;          ///< at a time
  std::size_t of_each = 30;            ///< transactions of each of these; alone, one has ten times as many
  std::size_t slower_sync_us = 4'000;  ///< for these
  std::size_t idle = 200;              ///< events of an idle service, one after the other
  std::size_t backlog = 1'000'000;     ///< events that wait
};

struct Rate {
  double per_second = 0;
  double events_per_commit = 0;
};

/// Microseconds of an fdatasync of 4 KiB, the middle of some.
double probe_sync();

// Each has files and processes of its own. Those that are ours take what is given as the daemon does; the raw ones do
// the same by SQLite's and libcurl's own interfaces, one thing after the other.

Rate submit_in_process(Shared& shared, const Amounts& amounts);
/// Each alone, or in lists.
Rate submit_by_http(Shared& shared, const Amounts& amounts, bool lists);
/// Events a second.
double submit_raw(const Amounts& amounts, double events_per_commit);

/// Transactions a second to `services` services that have as much waiting; each sync takes so much longer.
double deliver(Shared& shared, std::size_t services, std::size_t transactions_each, std::size_t events_per_transaction,
               std::size_t slower_sync_us);
double deliver_raw(Shared& shared, std::size_t transactions, std::size_t events_per_transaction,
                   std::size_t slower_sync_us);

/// Milliseconds from an event's submission to its arrival at its service, which was idle.
std::vector<double> latencies(Shared& shared, const Amounts& amounts);
std::vector<double> latencies_raw(Shared& shared, const Amounts& amounts);

struct Memory {
  double empty_kib = 0;
  double full_kib = 0;
  double submit_seconds = 0;
  double store_bytes = 0;
  double restarted_kib = 0;
  double restart_ms = 0;        ///< until the first transaction arrives
  double empty_restart_ms = 0;  ///< until it listens, with nothing in the store
};
Memory measure_backlog(Shared& shared, const Amounts& amounts);

}  // namespace snowfox::appservice_bench
