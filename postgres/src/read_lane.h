#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include <snowfox/postgres/postgres_options.h>

#include "call_queue.h"
#include "postgres_exchange.h"
#include "postgres_link.h"

namespace snowfox {

/// Where reads wait for a connection.
class ReadLane final : public CallQueue {
 public:
  ReadLane(LoopManager& loop, const PostgresOptions& options, const ConnectionSettings& settings,
           const PostgresLink& writer, std::function<void()> on_idle);
  ~ReadLane();

  /// The database has its version: connects.
  void start() noexcept;
  void submit(std::unique_ptr<PostgresCall> call) noexcept;
  bool idle() const noexcept { return outstanding() == 0; }
  /// The writer has been refused: so is all that waits.
  void on_writer_changed() noexcept;
  /// Rejects all that there is, and closes the connections.
  void abandon() noexcept;
  std::size_t connected() const noexcept;

 private:
  /// One read at a time, on a connection of its own.
  class Reader;

  void begin_some() noexcept;
  void on_gone(std::size_t) noexcept override {}
  void on_given_up(PostgresCall& call) noexcept override;
  std::string_view hindrance() const noexcept override;

  const PostgresOptions& options_;
  const PostgresLink& writer_;
  std::function<void()> on_idle_;
  std::vector<std::unique_ptr<Reader>> readers_;
  bool started_ = false;
};

}  // namespace snowfox
