#include "raw.h"

#include <array>
#include <stdexcept>

#include <fmt/format.h>

namespace snowfox::appservice_bench {

using namespace appservice;

namespace {

/// As in examples/appservice/sqlite_store.cc.
constexpr std::array<const char*, 13> kSql = {
    "BEGIN IMMEDIATE",
    "COMMIT",
    "INSERT INTO events (event_id, body, age_ts, accepted, waiting) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (event_id) DO NOTHING",
    "INSERT INTO queue (as_id, txn_id, sequence) VALUES (?, ?, ?)",
    "INSERT INTO application_services_state (as_id, last_txn) VALUES (?, 1)"
    " ON CONFLICT (as_id) DO UPDATE SET last_txn = last_txn + 1 RETURNING last_txn",
    "INSERT INTO application_services_txns (as_id, txn_id, events, created) VALUES (?, ?, ?, ?)",
    "UPDATE events SET waiting = waiting - 1, body = CASE waiting WHEN 1 THEN '' ELSE body END"
    " WHERE sequence IN (SELECT sequence FROM queue WHERE as_id = ? AND txn_id = ?)",
    "DELETE FROM events WHERE waiting = 0 AND sequence <= (SELECT up_to FROM forgotten)"
    " AND sequence IN (SELECT sequence FROM queue WHERE as_id = ? AND txn_id = ?)",
    "DELETE FROM queue WHERE as_id = ? AND txn_id = ?",
    "DELETE FROM application_services_txns WHERE as_id = ? AND txn_id = ?",
    "SELECT txn_id, created, failures, refusals FROM application_services_txns"
    " WHERE as_id = ? AND parked = 0 ORDER BY txn_id LIMIT 1",
    "SELECT sequence, body, age_ts, accepted FROM queue JOIN events USING (sequence)"
    " WHERE as_id = ? AND txn_id = 0 ORDER BY sequence",
    "UPDATE queue SET txn_id = ? WHERE as_id = ? AND txn_id = 0 AND sequence <= ?",
};
constexpr Milliseconds kNow = 1'795'000'001'000;
constexpr std::size_t kMostBytes = 4U << 20;

}  // namespace

/// One use of a prepared statement.
class RawStore::Statement {
 public:
  Statement(sqlite3* database, sqlite3_stmt* statement) noexcept : database_(database), statement_(statement) {}
  ~Statement() { sqlite3_reset(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  template <typename... Values>
  Statement& bind(const Values&... values) {
    int index = 0;
    (bind_one(++index, values), ...);
    return *this;
  }
  /// Whether there is a row.
  bool step() {
    const int status = sqlite3_step(statement_);
    if (status != SQLITE_ROW && status != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(database_));
    return status == SQLITE_ROW;
  }
  void run() {
    while (step()) {
    }
  }
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string_view text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
  }

 private:
  void bind_one(int index, std::int64_t value) { sqlite3_bind_int64(statement_, index, value); }
  void bind_one(int index, std::size_t value) { bind_one(index, static_cast<std::int64_t>(value)); }
  void bind_one(int index, const std::string& value) {
    sqlite3_bind_text(statement_, index, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
  }

  sqlite3* database_;
  sqlite3_stmt* statement_;
};

RawStore::RawStore(const std::string& path) {
  static_assert(kSql.size() == Count);
  sqlite3* database = nullptr;
  const int status = sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  database_.reset(database);
  const auto check = [&](int code) {
    if (code != SQLITE_OK) throw std::runtime_error(path + ": " + sqlite3_errmsg(database));
  };
  check(status);
  check(sqlite3_exec(database,
                     "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864",
                     nullptr, nullptr, nullptr));
  for (const char* sql : kSql) {
    sqlite3_stmt* statement = nullptr;
    check(sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr));
    statements_.emplace_back(statement, &sqlite3_finalize);
  }
}

RawStore::Statement RawStore::use(Which which) { return {database_.get(), statements_[which].get()}; }

void RawStore::insert(const StoredEvent& event, const std::string& service, TransactionId id) {
  use(InsertEvent).bind(event.event_id, event.body, event.age_ts, kNow, std::int64_t{1}).run();
  use(InsertQueue).bind(service, id, std::int64_t{sqlite3_last_insert_rowid(database_.get())}).run();
}

TransactionId RawStore::next_id(const std::string& service) {
  Statement statement = use(NextId);
  statement.bind(service).step();
  const TransactionId id = statement.integer(0);
  statement.run();
  return id;
}

void RawStore::keep(const std::string& service, TransactionId id, std::size_t events) {
  use(InsertTransaction).bind(service, id, events, kNow).run();
}

void RawStore::accept(const std::vector<StoredEvent>& events, std::size_t first, std::size_t last,
                      const std::string& service) {
  use(Begin).run();
  for (std::size_t i = first; i < last; ++i) insert(events[i], service, 0);
  use(Commit).run();
}

Transaction RawStore::accept_and_freeze(const StoredEvent& event, const std::string& service) {
  use(Begin).run();
  TransactionBody body({}, kNow);
  body.add(event.body, event.age_ts);
  Transaction transaction{.id = next_id(service), .events = 1};
  insert(event, service, transaction.id);
  keep(service, transaction.id, 1);
  transaction.body = body.take();
  use(Commit).run();
  return transaction;
}

std::optional<Transaction> RawStore::advance(const std::string& service, TransactionId done,
                                             std::size_t events_per_transaction) {
  use(Begin).run();
  if (done != 0) {
    for (const Which which : {Deliver, DeleteEvents, DeleteQueue, DeleteTransaction}) {
      use(which).bind(service, done).run();
    }
  }
  if (use(Frozen).bind(service).step()) throw std::runtime_error("a transaction has been forgotten");
  Transaction transaction;
  TransactionBody body({.events = events_per_transaction, .bytes = kMostBytes}, kNow);
  std::int64_t last = 0;
  {
    Statement waiting = use(Waiting);
    waiting.bind(service);
    while (waiting.step() && body.add(waiting.text(1), waiting.integer(2))) last = waiting.integer(0);
  }
  if (body.events() > 0) {
    transaction.id = next_id(service);
    transaction.events = body.events();
    use(Freeze).bind(transaction.id, service, last).run();
    keep(service, transaction.id, transaction.events);
    transaction.body = body.take();
  }
  use(Commit).run();
  if (transaction.id == 0) return std::nullopt;
  return transaction;
}

RawSender::RawSender(std::uint16_t port, const std::string& hs_token)
    : handle_(curl_easy_init()), url_(fmt::format("http://127.0.0.1:{}/_matrix/app/v1/transactions/", port)) {
  fields_ = curl_slist_append(fields_, "Content-Type: application/json");
  fields_ = curl_slist_append(fields_, ("Authorization: Bearer " + hs_token).c_str());
  curl_easy_setopt(handle_, CURLOPT_CUSTOMREQUEST, "PUT");
  curl_easy_setopt(handle_, CURLOPT_HTTPHEADER, fields_);
  curl_easy_setopt(handle_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle_, CURLOPT_WRITEDATA, &answer_);
  curl_easy_setopt(
      handle_, CURLOPT_WRITEFUNCTION, +[](char* bytes, std::size_t size, std::size_t count, void* answer) {
        static_cast<std::string*>(answer)->append(bytes, size * count);
        return size * count;
      });
}

RawSender::~RawSender() {
  curl_easy_cleanup(handle_);
  curl_slist_free_all(fields_);
}

void RawSender::send(const Transaction& transaction) {
  answer_.clear();
  curl_easy_setopt(handle_, CURLOPT_URL, (url_ + std::to_string(transaction.id)).c_str());
  curl_easy_setopt(handle_, CURLOPT_POSTFIELDS, transaction.body->data());
  curl_easy_setopt(handle_, CURLOPT_POSTFIELDSIZE, static_cast<long>(transaction.body->size()));
  long status = 0;
  if (curl_easy_perform(handle_) != CURLE_OK ||
      curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || status != 200) {
    throw std::runtime_error("a service has not answered 200");
  }
}

}  // namespace snowfox::appservice_bench
