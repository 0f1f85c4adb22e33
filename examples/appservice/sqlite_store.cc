#include "appservice/sqlite_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <map>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include <snowfox/core/error.h>

namespace snowfox::appservice {
namespace {

constexpr std::uint32_t kApplicationId = 0x61737276;  // "asrv"
/// One submission of the largest size that may be configured, of the smallest events, is half of that.
constexpr std::size_t kMostBytesToWrite = 256U << 20;
/// So many more may be remembered before the oldest are forgotten.
constexpr std::int64_t kForgetAtATime = 1000;

// Events stay until all services have them; then only their ids, to know them again. A row of the queue whose txn_id is
// zero is in no transaction yet.
constexpr const char* kSchema = R"(
  CREATE TABLE application_services_state (
    as_id TEXT PRIMARY KEY,
    state TEXT NOT NULL DEFAULT 'up' CHECK (state IN ('up', 'down')),
    last_txn INTEGER NOT NULL DEFAULT 0,
    paused INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE TABLE application_services_txns (
    as_id TEXT NOT NULL,
    txn_id INTEGER NOT NULL,
    events INTEGER NOT NULL,
    created INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    parked INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (as_id, txn_id)
  ) WITHOUT ROWID;
  CREATE TABLE events (
    sequence INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    age_ts INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    waiting INTEGER NOT NULL
  );
  CREATE TABLE queue (
    as_id TEXT NOT NULL,
    txn_id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (as_id, txn_id, sequence)
  ) WITHOUT ROWID;
  CREATE TABLE room_members (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (room_id, user_id)
  ) WITHOUT ROWID;
  CREATE TABLE room_aliases (
    room_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    alias TEXT NOT NULL,
    PRIMARY KEY (room_id, origin, alias)
  ) WITHOUT ROWID;
  CREATE TABLE forgotten (up_to INTEGER NOT NULL);
  INSERT INTO forgotten VALUES (0);
)";

SqliteOptions options_for(const std::string& path) {
  SqliteOptions options;
  options.path = path;
  options.application_id = kApplicationId;
  options.max_bytes = kMostBytesToWrite;
  options.migrations = {{1, kSchema}};
  return options;
}

// From here on all is done on the thread that writes, or reads.

TransactionId next_id(SqliteTransaction& t, const std::string& service) {
  return *t.one<TransactionId>(
      "INSERT INTO application_services_state (as_id, last_txn) VALUES (?, 1)"
      " ON CONFLICT (as_id) DO UPDATE SET last_txn = last_txn + 1 RETURNING last_txn",
      service);
}

void keep_transaction(SqliteTransaction& t, const std::string& service, const Transaction& transaction,
                      Milliseconds created) {
  t.run("INSERT INTO application_services_txns (as_id, txn_id, events, created) VALUES (?, ?, ?, ?)", service,
        transaction.id, transaction.events, created);
}

void change_room(SqliteTransaction& t, const RoomChange& change) {
  switch (change.kind) {
    case RoomChange::Kind::Joined:
      t.run("INSERT OR IGNORE INTO room_members (room_id, user_id) VALUES (?, ?)", change.room_id, change.user_id);
      break;
    case RoomChange::Kind::Left:
      t.run("DELETE FROM room_members WHERE room_id = ? AND user_id = ?", change.room_id, change.user_id);
      break;
    case RoomChange::Kind::Aliases:
      t.run("DELETE FROM room_aliases WHERE room_id = ? AND origin = ?", change.room_id, change.aliases.origin);
      for (const std::string& alias : change.aliases.aliases) {
        t.run("INSERT OR IGNORE INTO room_aliases (room_id, origin, alias) VALUES (?, ?, ?)", change.room_id,
              change.aliases.origin, alias);
      }
      break;
  }
}

/// The transaction that a claim is about to get.
struct Claim {
  explicit Claim(const Submission& submission) : body(submission.limits, submission.now) {}
  TransactionBody body;
  TransactionId id = 0;
  bool full = false;
};

Accepted accept_events(SqliteTransaction& t, const Submission& submission, std::int64_t remembered) {
  Accepted accepted;
  accepted.known.resize(submission.events.size());
  std::map<std::string_view, Claim> claims;
  for (const std::string& service : submission.claims) claims.emplace(service, Claim(submission));

  std::int64_t sequence = 0;
  for (std::size_t i = 0; i < submission.events.size(); ++i) {
    const NewEvent& event = submission.events[i];
    const bool waits = !event.services.empty();
    const auto inserted = t.run(
        "INSERT INTO events (event_id, body, age_ts, accepted, waiting) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (event_id) DO NOTHING",
        event.event_id, std::string_view(waits ? event.body : std::string_view()), event.age_ts, submission.now,
        event.services.size());
    if (inserted == 0) {
      accepted.known[i] = true;
      continue;
    }
    sequence = t.last_insert_id();
    if (event.change) change_room(t, *event.change);
    for (const std::string& service : event.services) {
      TransactionId id = 0;
      if (const auto claim = claims.find(service); claim != claims.end() && !claim->second.full) {
        Claim& mine = claim->second;
        mine.full = !mine.body.add(event.body, event.age_ts);
        if (!mine.full && mine.id == 0) mine.id = next_id(t, service);
        if (!mine.full) id = mine.id;
      }
      t.run("INSERT INTO queue (as_id, txn_id, sequence) VALUES (?, ?, ?)", service, id, sequence);
    }
  }

  for (const std::string& service : submission.claims) {
    Claim& claim = claims.at(service);
    if (claim.id == 0) {
      accepted.transactions.emplace_back();
      continue;
    }
    Transaction transaction{.id = claim.id, .events = claim.body.events(), .oldest = submission.now};
    keep_transaction(t, service, transaction, submission.now);
    transaction.body = claim.body.take();
    accepted.transactions.emplace_back(std::move(transaction));
  }

  const std::int64_t horizon = sequence - remembered;
  if (horizon > 0) {
    const auto forgotten = *t.one<std::int64_t>("SELECT up_to FROM forgotten");
    if (horizon - forgotten >= kForgetAtATime) {
      t.run("DELETE FROM events WHERE sequence > ? AND sequence <= ? AND waiting = 0", forgotten, horizon);
      t.run("UPDATE forgotten SET up_to = ?", horizon);
    }
  }
  return accepted;
}

/// The service has what is in the transaction.
void finish(SqliteTransaction& t, const std::string& service, TransactionId id) {
  t.run(
      "UPDATE events SET waiting = waiting - 1, body = CASE waiting WHEN 1 THEN '' ELSE body END"
      " WHERE sequence IN (SELECT sequence FROM queue WHERE as_id = ? AND txn_id = ?)",
      service, id);
  t.run(
      "DELETE FROM events WHERE waiting = 0 AND sequence <= (SELECT up_to FROM forgotten)"
      " AND sequence IN (SELECT sequence FROM queue WHERE as_id = ? AND txn_id = ?)",
      service, id);
  t.run("DELETE FROM queue WHERE as_id = ? AND txn_id = ?", service, id);
  t.run("DELETE FROM application_services_txns WHERE as_id = ? AND txn_id = ?", service, id);
}

/// One that was frozen before, as it was.
std::optional<Transaction> frozen(SqliteTransaction& t, const std::string& service) {
  const auto row = t.one<TransactionId, Milliseconds, std::uint32_t, std::uint32_t>(
      "SELECT txn_id, created, failures, refusals FROM application_services_txns"
      " WHERE as_id = ? AND parked = 0 ORDER BY txn_id LIMIT 1",
      service);
  if (!row) return std::nullopt;
  const auto& [id, created, failures, refusals] = *row;
  Transaction transaction{.id = id, .failures = failures, .refusals = refusals};
  TransactionBody body({.events = SIZE_MAX, .bytes = SIZE_MAX}, created);
  t.each<std::string_view, Milliseconds, Milliseconds>(
      "SELECT body, age_ts, accepted FROM queue JOIN events USING (sequence)"
      " WHERE as_id = ? AND txn_id = ? ORDER BY sequence",
      [&](std::string_view event, Milliseconds age_ts, Milliseconds accepted) {
        if (body.events() == 0) transaction.oldest = accepted;
        body.add(event, age_ts);
      },
      service, id);
  transaction.events = body.events();
  transaction.body = body.take();
  return transaction;
}

std::optional<Transaction> freeze(SqliteTransaction& t, const Step& step) {
  Transaction transaction;
  TransactionBody body(step.limits, step.now);
  std::int64_t last = 0;
  t.each<std::int64_t, std::string_view, Milliseconds, Milliseconds>(
      "SELECT sequence, body, age_ts, accepted FROM queue JOIN events USING (sequence)"
      " WHERE as_id = ? AND txn_id = 0 ORDER BY sequence",
      [&](std::int64_t sequence, std::string_view event, Milliseconds age_ts, Milliseconds accepted) {
        if (!body.add(event, age_ts)) return false;
        if (body.events() == 1) transaction.oldest = accepted;
        last = sequence;
        return true;
      },
      step.service);
  if (body.events() == 0) return std::nullopt;
  transaction.id = next_id(t, step.service);
  transaction.events = body.events();
  t.run("UPDATE queue SET txn_id = ? WHERE as_id = ? AND txn_id = 0 AND sequence <= ?", transaction.id, step.service,
        last);
  keep_transaction(t, step.service, transaction, step.now);
  transaction.body = body.take();
  return transaction;
}

std::uint64_t count_parked(SqliteSnapshot& s, const std::string& service) {
  return *s.one<std::uint64_t>("SELECT COUNT(*) FROM application_services_txns WHERE as_id = ? AND parked = 1",
                               service);
}

std::uint64_t count_waiting(SqliteSnapshot& s, const std::string& service) {
  return *s.one<std::uint64_t>(
      "SELECT COUNT(*) FROM queue WHERE as_id = ?1 AND txn_id NOT IN"
      " (SELECT txn_id FROM application_services_txns WHERE as_id = ?1 AND parked = 1)",
      service);
}

Advanced advance_service(SqliteTransaction& t, const Step& step) {
  switch (step.kind) {
    case Step::Kind::None: break;
    case Step::Kind::Done: finish(t, step.service, step.transaction); break;
    case Step::Kind::Split:
      t.run("UPDATE queue SET txn_id = 0 WHERE as_id = ? AND txn_id = ?", step.service, step.transaction);
      t.run("DELETE FROM application_services_txns WHERE as_id = ? AND txn_id = ?", step.service, step.transaction);
      break;
    case Step::Kind::Park:
      t.run("UPDATE application_services_txns SET parked = 1, reason = ? WHERE as_id = ? AND txn_id = ?", step.reason,
            step.service, step.transaction);
      break;
  }
  Advanced advanced;
  advanced.next = frozen(t, step.service);
  if (!advanced.next) advanced.next = freeze(t, step);
  if (!advanced.next) {
    t.run("UPDATE application_services_state SET state = 'up' WHERE as_id = ? AND state <> 'up'", step.service);
  }
  if (step.count) {
    advanced.backlog = count_waiting(t, step.service);
    advanced.parked = count_parked(t, step.service);
  }
  return advanced;
}

std::vector<ServiceRecord> all_services(SqliteSnapshot& s) {
  std::map<std::string, ServiceRecord, std::less<>> records;
  const auto record = [&](const std::string& id) -> ServiceRecord& {
    ServiceRecord& found = records[id];
    found.id = id;
    return found;
  };
  s.each<std::string, std::string_view, TransactionId, bool>(
      "SELECT as_id, state, last_txn, paused FROM application_services_state",
      [&](const std::string& id, std::string_view state, TransactionId last, bool paused) {
        ServiceRecord& service = record(id);
        service.up = state == "up";
        service.last_transaction = last;
        service.paused = paused;
      });
  s.each<std::string, std::uint64_t>("SELECT as_id, COUNT(*) FROM queue GROUP BY as_id",
                                     [&](const std::string& id, std::uint64_t count) { record(id).backlog = count; });
  s.each<std::string, std::uint64_t, std::uint64_t>(
      "SELECT as_id, COUNT(*), SUM(events) FROM application_services_txns WHERE parked = 1 GROUP BY as_id",
      [&](const std::string& id, std::uint64_t transactions, std::uint64_t events) {
        ServiceRecord& service = record(id);
        service.parked = transactions;
        service.backlog -= std::min(service.backlog, events);
      });
  std::vector<ServiceRecord> result;
  for (auto& [id, found] : records) result.push_back(std::move(found));
  return result;
}

std::size_t bytes_of(const Submission& submission) {
  std::size_t bytes = sizeof(Submission);
  for (const NewEvent& event : submission.events) {
    bytes += sizeof(NewEvent) + event.event_id.size() + event.body.size() + event.services.size() * sizeof(std::string);
  }
  return bytes;
}

}  // namespace

SqliteStore::Lock::Lock(const std::string& path) {
  const std::string name = path + ".lock";
  fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) throw std::system_error(errno, std::system_category(), "open " + name);
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  ::close(fd);
  if (error == EWOULDBLOCK) throw std::runtime_error("store " + path + " is in use by another process");
  throw std::system_error(error, std::system_category(), "lock " + name);
}

SqliteStore::Lock::~Lock() { ::close(fd); }

SqliteStore::SqliteStore(LoopManager& loop, const std::string& path, std::uint64_t remembered_events)
    : lock_(path),
      database_(loop, options_for(path)),
      remembered_events_(remembered_events),
      on_commit_(database_.committed().add([this](const SqliteCommit& commit) {
        if (commit.units > 0) trouble_.clear();
      })) {}

/// Notices what fails: it is what the next one will probably meet, too.
template <typename T>
Promise<T> SqliteStore::watched(Promise<T> promise) {
  return std::move(promise).otherwise([this](const std::exception_ptr& error) -> T {
    try {
      std::rethrow_exception(error);
    } catch (const std::system_error& failed) {
      const bool crowded = failed.code() == Errc::LimitReached || failed.code() == Errc::ShuttingDown;
      if (!crowded) trouble_ = describe(error);
      throw;
    }
  });
}

Promise<Accepted> SqliteStore::accept(Submission submission) {
  SqliteCallOptions call;
  call.bytes = bytes_of(submission);
  return watched(database_.write(
      call,
      [remembered = static_cast<std::int64_t>(remembered_events_)](SqliteTransaction& t, const Submission& events) {
        return accept_events(t, events, remembered);
      },
      std::move(submission)));
}

Promise<Advanced> SqliteStore::advance(Step step) {
  // A commit that has nothing to write says nothing of the disk. (What is set to what it was is not written.)
  const bool probe = !trouble_.empty();
  return watched(database_.write(
      [probe](SqliteTransaction& t, const Step& its) {
        if (probe) t.run("UPDATE forgotten SET rowid = rowid + 1");
        return advance_service(t, its);
      },
      std::move(step)));
}

Promise<void> SqliteStore::failed(std::string service, TransactionId transaction, std::uint32_t failures,
                                  std::uint32_t refusals, std::string reason) {
  return watched(database_.write(
      [transaction, failures, refusals](SqliteTransaction& t, const std::string& id, const std::string& why) {
        t.run(
            "UPDATE application_services_txns SET failures = ?, refusals = ?, reason = ? WHERE as_id = ? AND txn_id = "
            "?",
            failures, refusals, why, id, transaction);
        t.run("UPDATE application_services_state SET state = 'down' WHERE as_id = ? AND state <> 'down'", id);
      },
      std::move(service), std::move(reason)));
}

Promise<void> SqliteStore::pause(std::string service, bool paused) {
  return watched(database_.write(
      [paused](SqliteTransaction& t, const std::string& id) {
        t.run(
            "INSERT INTO application_services_state (as_id, paused) VALUES (?, ?)"
            " ON CONFLICT (as_id) DO UPDATE SET paused = excluded.paused",
            id, paused);
      },
      std::move(service)));
}

Promise<std::vector<ServiceRecord>> SqliteStore::services() {
  // Counts millions of events, if there are so many.
  SqliteCallOptions call;
  call.deadline = std::chrono::minutes(10);
  return database_.read(call, &all_services);
}

Promise<std::vector<ParkedTransaction>> SqliteStore::parked(std::string service, std::size_t most) {
  return database_.read(
      [most](SqliteSnapshot& s, const std::string& id) {
        std::vector<ParkedTransaction> result;
        s.each<TransactionId, std::size_t, std::string, Milliseconds, std::uint32_t>(
            "SELECT txn_id, events, reason, created, failures FROM application_services_txns"
            " WHERE as_id = ? AND parked = 1 ORDER BY txn_id LIMIT ?",
            [&](TransactionId txn, std::size_t events, std::string reason, Milliseconds created,
                std::uint32_t failures) {
              result.push_back({txn, events, std::move(reason), created, failures});
            },
            id, most);
        return result;
      },
      std::move(service));
}

Promise<std::optional<std::size_t>> SqliteStore::requeue(std::string service, TransactionId transaction) {
  return watched(database_.write(
      [transaction](SqliteTransaction& t, const std::string& id) {
        return t.one<std::size_t>(
            "UPDATE application_services_txns SET parked = 0, failures = 0, refusals = 0"
            " WHERE as_id = ? AND txn_id = ? AND parked = 1 RETURNING events",
            id, transaction);
      },
      std::move(service)));
}

Promise<std::vector<std::string>> SqliteStore::known(std::vector<std::string> event_ids) {
  return database_.read(
      [](SqliteSnapshot& s, const std::vector<std::string>& ids) {
        std::vector<std::string> known;
        for (const std::string& id : ids) {
          if (s.one<std::int64_t>("SELECT 1 FROM events WHERE event_id = ?", id)) known.push_back(id);
        }
        return known;
      },
      std::move(event_ids));
}

Promise<StoredRoom> SqliteStore::load_room(const std::string& room_id) {
  return database_.read(
      [](SqliteSnapshot& s, const std::string& id) {
        StoredRoom room;
        s.each<std::string>(
            "SELECT user_id FROM room_members WHERE room_id = ?",
            [&](std::string member) { room.members.push_back(std::move(member)); }, id);
        s.each<std::string, std::string>(
            "SELECT origin, alias FROM room_aliases WHERE room_id = ? ORDER BY origin, alias",
            [&](std::string origin, std::string alias) {
              if (room.aliases.empty() || room.aliases.back().origin != origin) {
                room.aliases.push_back({std::move(origin), {}});
              }
              room.aliases.back().aliases.push_back(std::move(alias));
            },
            id);
        return room;
      },
      room_id);
}

std::size_t SqliteStore::backlog_bytes() const { return database_.status().pending_bytes; }

Promise<void> SqliteStore::close() { return database_.close(); }

}  // namespace snowfox::appservice
