#pragma once

#include <curl/curl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sqlite3.h>

#include "appservice/client_event.h"
#include "appservice/transaction.h"

namespace snowfox::appservice_bench {

/// What SqliteStore does, by SQLite's own interface: the same statements, each prepared once, on a file that
/// SqliteStore has made. Every call is one commit.
class RawStore {
 public:
  /// Throws std::runtime_error, as all here.
  explicit RawStore(const std::string& path);
  RawStore(const RawStore&) = delete;
  RawStore& operator=(const RawStore&) = delete;

  /// Events `first` to `last - 1` of `events`, for a service that is down.
  void accept(const std::vector<appservice::StoredEvent>& events, std::size_t first, std::size_t last,
              const std::string& service);
  /// An event of a service that waits for work: with its transaction.
  appservice::Transaction accept_and_freeze(const appservice::StoredEvent& event, const std::string& service);
  /// Transaction `done` is with its service, if it is not zero; the next one is made.
  std::optional<appservice::Transaction> advance(const std::string& service, appservice::TransactionId done,
                                                 std::size_t events_per_transaction);

 private:
  class Statement;
  struct Close {
    void operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }
  };
  enum Which : std::size_t {
    Begin,
    Commit,
    InsertEvent,
    InsertQueue,
    NextId,
    InsertTransaction,
    Deliver,
    DeleteEvents,
    DeleteQueue,
    DeleteTransaction,
    Frozen,
    Waiting,
    Freeze,
    Count,
  };

  Statement use(Which which);
  void insert(const appservice::StoredEvent& event, const std::string& service, appservice::TransactionId id);
  appservice::TransactionId next_id(const std::string& service);
  void keep(const std::string& service, appservice::TransactionId id, std::size_t events);

  std::unique_ptr<sqlite3, Close> database_;
  std::vector<std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)>> statements_;
};

/// Sends transactions by libcurl, on a connection that stays, and waits for each answer.
class RawSender {
 public:
  RawSender(std::uint16_t port, const std::string& hs_token);
  ~RawSender();
  RawSender(const RawSender&) = delete;
  RawSender& operator=(const RawSender&) = delete;

  /// Throws std::runtime_error if it is not answered with 200.
  void send(const appservice::Transaction& transaction);

 private:
  CURL* handle_;
  curl_slist* fields_ = nullptr;
  std::string url_;
  std::string answer_;
};

}  // namespace snowfox::appservice_bench
