#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <snowfox/core/clock.h>

namespace snowfox {

/// What a database counts over its life: what was submitted was done, failed, timed out or was dropped, or is there
/// still.
struct PostgresCounters {
  std::uint64_t submitted = 0;
  std::uint64_t done = 0;       ///< writes that are committed, reads that are answered
  std::uint64_t failed = 0;     ///< refused by the server, outcome unknown, or the database was closed
  std::uint64_t timed_out = 0;  ///< whether they were begun or not
  std::uint64_t dropped = 0;    ///< nobody waited for them any more
  std::uint64_t refused = 0;    ///< beyond a limit, not connected, or closed: not among those submitted
};

/// How it stands with the connection that writes.
enum class PostgresState : std::uint8_t {
  Connecting,
  Connected,
  Waiting,        ///< the last attempt failed, the next one comes
  HeldElsewhere,  ///< the same, because another session has the advisory lock
  Refused,        ///< the database is newer than the program: no further attempt
  Closed,
};
/// "connecting", "connected", "waiting", "held elsewhere", "refused", "closed".
std::string_view to_string(PostgresState state) noexcept;

/// What it does now, for status pages.
struct PostgresStatus {
  struct Lane {
    std::size_t waiting = 0;    ///< not begun, or undone and to begin again
    std::size_t under_way = 0;  ///< sent
    Duration oldest{};          ///< how long the oldest of both has been there
    PostgresCounters counters{};
  };
  PostgresState state = PostgresState::Connecting;
  TimePoint since{};          ///< of that state
  std::string last_error{};   ///< why there was no connection the last time; without password. Empty if never
  std::uint32_t version = 0;  ///< of the last migration, once it was connected
  std::uint64_t connects = 0;
  std::uint64_t losses = 0;           ///< of connections that stood
  std::size_t readers_connected = 0;  ///< now
  Lane writes;
  Lane reads;
  std::size_t pending_bytes = 0;  ///< of writes
  bool congested = false;         ///< sources bound to the backlog are paused
  std::uint64_t commits = 0;
  std::uint64_t failed_commits = 0;   ///< rolled back, lost, or of unknown outcome
  std::uint64_t unknown_commits = 0;  ///< of those, of unknown outcome
  Duration last_commit{};             ///< how long it took
};

/// A commit that is through, for PostgresDatabase::committed().
struct PostgresCommit {
  std::size_t units = 0;
  Duration waited{};  ///< of the oldest of them, before it began
  Duration took{};
};

}  // namespace snowfox
