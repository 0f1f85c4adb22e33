#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sqlite/sqlite_database.h>

#include "appservice/store.h"

namespace snowfox::appservice {

/// Everything in one file, by SQLite.
class SqliteStore final : public Store {
 public:
  /// Opens or makes the file. Ids of the last `remembered_events` events are kept to know them again. Throws as
  /// SqliteDatabase, and std::runtime_error if another process has the store.
  SqliteStore(LoopManager& loop, const std::string& path, std::uint64_t remembered_events);

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

  std::string trouble() const override { return trouble_; }
  std::size_t backlog_bytes() const override;
  Promise<void> close() override;

  SqliteDatabase& database() noexcept { return database_; }

 private:
  /// SQLite itself lets several processes write; but two schedulers would each send what is there.
  struct Lock {
    explicit Lock(const std::string& path);
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    int fd;
  };

  template <typename T>
  Promise<T> watched(Promise<T> promise);

  Lock lock_;
  SqliteDatabase database_;
  std::uint64_t remembered_events_;
  std::string trouble_;
  Hook<const SqliteCommit&>::Token on_commit_;
};

}  // namespace snowfox::appservice
