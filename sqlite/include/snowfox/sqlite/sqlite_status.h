#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>

#include <snowfox/core/clock.h>

namespace snowfox {

/// What a database counts over its life: what was submitted was done, failed, timed out or was dropped, or is there
/// still.
struct SqliteCounters {
  std::uint64_t submitted = 0;
  std::uint64_t done = 0;       ///< writes that are committed, reads that are answered
  std::uint64_t failed = 0;     ///< their function has thrown, their commit failed, or the database was closed
  std::uint64_t timed_out = 0;  ///< whether they were begun or not
  std::uint64_t dropped = 0;    ///< nobody waited for them any more
  std::uint64_t refused = 0;    ///< beyond a limit, or closed: not among those submitted
};

/// What it does now, for status pages.
struct SqliteStatus {
  struct Lane {
    std::size_t waiting = 0;    ///< not begun
    std::size_t under_way = 0;  ///< on the other thread
    Duration oldest{};          ///< how long the oldest of both has been there
    SqliteCounters counters{};
  };
  Lane writes;
  Lane reads;
  std::size_t pending_bytes = 0;  ///< of writes
  bool congested = false;         ///< sources bound to the backlog are paused
  std::uint64_t commits = 0;
  std::uint64_t failed_commits = 0;  ///< none of their units is in the database
  Duration last_commit{};            ///< how long it took, from the loop and back
};

/// A commit that is through, for SqliteDatabase::committed().
struct SqliteCommit {
  std::size_t units = 0;       ///< that are in the database now
  std::size_t failed = 0;      ///< that are not
  Duration waited{};           ///< of the oldest of them, before it began
  Duration took{};             ///< from the loop and back
  std::exception_ptr error{};  ///< why none of them is; else null
};

}  // namespace snowfox
