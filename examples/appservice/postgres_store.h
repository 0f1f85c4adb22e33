#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/postgres/postgres_database.h>

#include "appservice/store.h"

namespace snowfox::appservice {

/// Everything in a database of a PostgreSQL server. Of several schedulers with the same database one works; the others
/// find that it is in use, and try again. One whose connection was lost may find that another had its place meanwhile:
/// see when_back(). What it was sending it sends, under the same id as the other.
class PostgresStore final : public Store {
 public:
  /// Begins to connect; while there is no connection, calls are rejected at once. Ids of the last `remembered_events`
  /// events are kept to know them again. Throws as PostgresDatabase.
  PostgresStore(LoopManager& loop, const std::string& uri, std::uint64_t remembered_events);

  Promise<Accepted> accept(Submission submission) override;
  Promise<Advanced> advance(Step step) override;
  Promise<void> failed(std::string service, TransactionId transaction, std::uint32_t failures, std::uint32_t refusals,
                       std::string reason) override;
  Promise<void> pause(std::string service, bool paused) override;
  Promise<std::vector<ServiceRecord>> services() override;
  Promise<std::vector<ParkedTransaction>> parked(std::string service, std::size_t most) override;
  Promise<std::optional<std::size_t>> requeue(std::string service, TransactionId transaction) override;
  Promise<std::vector<std::string>> known(std::vector<std::string> event_ids) override;
  Promise<StoredRoom> load_room(const std::string& room_id) override;

  std::string trouble() const override;
  std::size_t backlog_bytes() const override;
  Promise<void> close() override;

 private:
  PostgresDatabase database_;
  std::uint64_t remembered_events_;
  bool connected_ = false;
  bool connected_before_ = false;
  Hook<const PostgresStatus&>::Token on_changed_;
};

}  // namespace snowfox::appservice
