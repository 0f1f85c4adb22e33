#pragma once

namespace snowfox::simulation {

/// How often what may go wrong does: each the probability, from 0 to 1, that one occasion goes wrong.
struct Faults {
  double short_read = 0;       ///< a read gives less than there is
  double short_write = 0;      ///< a write takes less than fits
  double would_block = 0;      ///< a descriptor that was ready says EAGAIN
  double false_readiness = 0;  ///< a descriptor that is not ready is told as ready, once a turn
  double reset = 0;            ///< at a read or write the connection is reset: ECONNRESET, EPIPE for both ends
  double no_buffers = 0;       ///< a send says ENOBUFS
  double accept = 0;           ///< ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM
  double connect = 0;          ///< ECONNREFUSED, ENETUNREACH, ETIMEDOUT, EMFILE, or EAGAIN of a full backlog
  double listen = 0;           ///< EADDRINUSE, EMFILE
  double watch = 0;            ///< a descriptor cannot be watched, or not for what is asked: ENOMEM
  double signals = 0;          ///< EMFILE when signals are taken
  double launch = 0;           ///< EAGAIN, ENOMEM, EMFILE when a child is started
  double open = 0;             ///< EMFILE, ENFILE, EIO when a file or directory is opened
  double no_space = 0;         ///< ENOSPC, EIO when a file is written, cut or renamed
  double sync = 0;             ///< EIO, ENOSPC when it is synced: some of what was written since the last time is lost
  double early_wake = 0;       ///< a wait ends though nothing has happened, as one that is interrupted (EINTR) does
  double standstill = 0;       ///< before a turn the process gets no processor for up to SimulationOptions::standstill
  double clock_jump = 0;       ///< before a turn the host's time of day jumps, by up to SimulationOptions::clock_jump
  double slow_link = 0;        ///< a new connection passes on few bytes at a time
  double allocation = 0;       ///< std::bad_alloc, if the program includes failing_allocations.h
  double fault_point = 0;      ///< a fault point of the library's own code (see fault_point.h)

  /// Nothing goes wrong.
  static Faults none() noexcept { return {}; }
  /// What a network and a machine in trouble do to a daemon that must get over it.
  static Faults rough() noexcept {
    return {.short_read = 0.2,
            .short_write = 0.2,
            .would_block = 0.1,
            .false_readiness = 0.1,
            .reset = 0.002,
            .no_buffers = 0.01,
            .accept = 0.05,
            .connect = 0.05,
            .listen = 0.05,
            .watch = 0.001,
            .signals = 0,
            .launch = 0.05,
            .open = 0.01,
            .no_space = 0.01,
            .sync = 0.01,
            .early_wake = 0.05,
            .standstill = 0.001,
            .clock_jump = 0.01,
            .slow_link = 0.1,
            .allocation = 0,
            .fault_point = 0};
  }
  /// What is not seen from outside: connections hold, but nothing comes in one piece or in time.
  static Faults choppy() noexcept {
    Faults faults = rough();
    faults.reset = faults.accept = faults.connect = faults.listen = faults.watch = faults.launch = 0;
    faults.open = faults.no_space = faults.sync = 0;
    return faults;
  }
};

}  // namespace snowfox::simulation
