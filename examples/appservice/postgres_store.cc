#include "appservice/postgres_store.h"

#include <chrono>
#include <string_view>
#include <utility>

namespace snowfox::appservice {
namespace {

/// Of the advisory lock: "appservc".
constexpr std::int64_t kLockKey = 0x6170707365727663;

// The same tables as in SqliteStore. What needs several steps is a function, so that it is one way to the server and
// back: a unit's statements are all known beforehand.
constexpr const char* kSchema = R"(
CREATE TABLE application_services_state (
  as_id TEXT PRIMARY KEY,
  state TEXT NOT NULL DEFAULT 'up' CHECK (state IN ('up', 'down')),
  last_txn BIGINT NOT NULL DEFAULT 0,
  paused BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE TABLE application_services_txns (
  as_id TEXT NOT NULL,
  txn_id BIGINT NOT NULL,
  events BIGINT NOT NULL,
  created BIGINT NOT NULL,
  failures BIGINT NOT NULL DEFAULT 0,
  refusals BIGINT NOT NULL DEFAULT 0,
  parked BOOLEAN NOT NULL DEFAULT FALSE,
  reason TEXT NOT NULL DEFAULT '',
  UNIQUE (as_id, txn_id)
);
CREATE TABLE events (
  sequence BIGSERIAL PRIMARY KEY,
  event_id TEXT NOT NULL UNIQUE,
  body TEXT NOT NULL,
  age_ts BIGINT NOT NULL,
  accepted BIGINT NOT NULL,
  waiting BIGINT NOT NULL
);
CREATE TABLE queue (
  as_id TEXT NOT NULL,
  txn_id BIGINT NOT NULL,
  sequence BIGINT NOT NULL,
  PRIMARY KEY (as_id, txn_id, sequence)
);
CREATE TABLE room_members (
  room_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  PRIMARY KEY (room_id, user_id)
);
CREATE TABLE room_aliases (
  room_id TEXT NOT NULL,
  origin TEXT NOT NULL,
  alias TEXT NOT NULL,
  PRIMARY KEY (room_id, origin, alias)
);
CREATE TABLE forgotten (up_to BIGINT NOT NULL);
INSERT INTO forgotten VALUES (0);

CREATE FUNCTION appservice_next_id(p_service TEXT) RETURNS BIGINT LANGUAGE sql AS $$
  INSERT INTO application_services_state AS s (as_id, last_txn) VALUES (p_service, 1)
  ON CONFLICT (as_id) DO UPDATE SET last_txn = s.last_txn + 1 RETURNING last_txn
$$;

-- What an event takes in a transaction's body: its age is put in, and a comma before both. The body's own are 13 more.
CREATE FUNCTION appservice_bytes(body TEXT, age_ts BIGINT, now BIGINT) RETURNS BIGINT IMMUTABLE LANGUAGE sql AS $$
  SELECT octet_length(body) + octet_length(greatest(now - age_ts, 0)::TEXT) + octet_length(',,"age":')
$$;

-- Of the arrays, queue_ are pairs of an event's index and a service, change_ are what events say about rooms, of which
-- aliases_ belong to the change of that index. A service that claims gets its first events, as many as may be in one
-- transaction.
CREATE FUNCTION appservice_accept(
  event_ids TEXT[], bodies TEXT[], ages BIGINT[], now BIGINT, remembered BIGINT,
  queue_events BIGINT[], queue_services TEXT[],
  change_events BIGINT[], change_kinds BIGINT[], change_rooms TEXT[], change_names TEXT[],
  alias_changes BIGINT[], aliases TEXT[],
  claims TEXT[], most_events BIGINT, most_bytes BIGINT,
  OUT known BIGINT[], OUT claim_ids BIGINT[], OUT claim_counts BIGINT[])
LANGUAGE plpgsql AS $$
DECLARE
  sequences BIGINT[] := '{}';
  claim_bytes BIGINT[] := '{}';
  last BIGINT;
  e BIGINT;
  claim INT;
  txn BIGINT;
  size BIGINT;
BEGIN
  known := '{}';
  claim_ids := array_fill(0::BIGINT, ARRAY[cardinality(claims)]);
  claim_counts := claim_ids;
  claim_bytes := claim_ids;
  FOR i IN 1 .. cardinality(event_ids) LOOP
    last := NULL;
    INSERT INTO events (event_id, body, age_ts, accepted, waiting) VALUES (event_ids[i], bodies[i], ages[i], now, 0)
    ON CONFLICT (event_id) DO NOTHING RETURNING sequence INTO last;
    sequences[i] := last;
    known[i] := (last IS NULL)::INT;
  END LOOP;

  FOR i IN 1 .. cardinality(queue_events) LOOP
    e := queue_events[i] + 1;
    CONTINUE WHEN sequences[e] IS NULL;
    txn := 0;
    claim := array_position(claims, queue_services[i]);
    -- A claim that is full has room for nothing any more: bytes of -1.
    IF claim IS NOT NULL AND claim_bytes[claim] >= 0 THEN
      size := claim_bytes[claim] + appservice_bytes(bodies[e], ages[e], now);
      IF claim_counts[claim] > 0 AND (claim_counts[claim] >= most_events OR size > most_bytes - 13) THEN
        claim_bytes[claim] := -1;
      ELSE
        IF claim_ids[claim] = 0 THEN claim_ids[claim] := appservice_next_id(claims[claim]); END IF;
        claim_bytes[claim] := size;
        claim_counts[claim] := claim_counts[claim] + 1;
        txn := claim_ids[claim];
      END IF;
    END IF;
    INSERT INTO queue (as_id, txn_id, sequence) VALUES (queue_services[i], txn, sequences[e]);
    UPDATE events SET waiting = waiting + 1 WHERE sequence = sequences[e];
  END LOOP;
  INSERT INTO application_services_txns (as_id, txn_id, events, created)
  SELECT c.service, c.id, c.count, now FROM UNNEST(claims, claim_ids, claim_counts) AS c (service, id, count)
  WHERE c.id > 0;

  FOR i IN 1 .. cardinality(change_events) LOOP
    CONTINUE WHEN sequences[change_events[i] + 1] IS NULL;
    IF change_kinds[i] = 0 THEN
      INSERT INTO room_members VALUES (change_rooms[i], change_names[i]) ON CONFLICT DO NOTHING;
    ELSIF change_kinds[i] = 1 THEN
      DELETE FROM room_members WHERE room_id = change_rooms[i] AND user_id = change_names[i];
    ELSE
      DELETE FROM room_aliases WHERE room_id = change_rooms[i] AND origin = change_names[i];
      INSERT INTO room_aliases
      SELECT change_rooms[i], change_names[i], a.alias FROM UNNEST(alias_changes, aliases) AS a (change, alias)
      WHERE a.change = i - 1 ON CONFLICT DO NOTHING;
    END IF;
  END LOOP;

  SELECT max(s) - remembered INTO last FROM UNNEST(sequences) AS s;
  IF last - (SELECT up_to FROM forgotten) >= 1000 THEN
    DELETE FROM events WHERE sequence > (SELECT up_to FROM forgotten) AND sequence <= last AND waiting = 0;
    UPDATE forgotten SET up_to = last;
  END IF;
END
$$;

-- One row for each event of the next transaction; or one, without a transaction.
CREATE FUNCTION appservice_advance(
  service TEXT, kind BIGINT, done BIGINT, why TEXT, most_events BIGINT, most_bytes BIGINT, now BIGINT, counted BOOLEAN)
RETURNS TABLE (txn BIGINT, at BIGINT, failed BIGINT, refused BIGINT, backlog BIGINT, event TEXT, age BIGINT,
               since BIGINT)
LANGUAGE plpgsql AS $$
DECLARE
  next application_services_txns;
  chosen BIGINT[];
  waiting_events BIGINT;
BEGIN
  IF kind = 1 THEN
    WITH gone AS (DELETE FROM queue WHERE as_id = service AND txn_id = done RETURNING sequence)
    UPDATE events SET waiting = waiting - 1, body = CASE waiting WHEN 1 THEN '' ELSE body END
    FROM gone WHERE events.sequence = gone.sequence;
    DELETE FROM application_services_txns WHERE as_id = service AND txn_id = done;
  ELSIF kind = 2 THEN
    UPDATE queue SET txn_id = 0 WHERE as_id = service AND txn_id = done;
    DELETE FROM application_services_txns WHERE as_id = service AND txn_id = done;
  ELSIF kind = 3 THEN
    UPDATE application_services_txns SET parked = TRUE, reason = why WHERE as_id = service AND txn_id = done;
  END IF;

  SELECT * INTO next FROM application_services_txns WHERE as_id = service AND NOT parked ORDER BY txn_id LIMIT 1;
  IF NOT FOUND THEN
    SELECT array_agg(c.sequence) INTO chosen FROM (
      SELECT q.sequence, row_number() OVER w AS number, sum(appservice_bytes(q.body, q.age_ts, now)) OVER w AS bytes
      FROM (SELECT queue.sequence, events.body, events.age_ts FROM queue JOIN events USING (sequence)
            WHERE as_id = service AND txn_id = 0 ORDER BY sequence LIMIT most_events) AS q
      WINDOW w AS (ORDER BY q.sequence)) AS c
    WHERE c.number = 1 OR c.bytes <= most_bytes - 13;
    IF chosen IS NULL THEN
      UPDATE application_services_state SET state = 'up' WHERE as_id = service AND state <> 'up';
    ELSE
      INSERT INTO application_services_txns (as_id, txn_id, events, created)
      VALUES (service, appservice_next_id(service), cardinality(chosen), now) RETURNING * INTO next;
      UPDATE queue SET txn_id = next.txn_id WHERE as_id = service AND txn_id = 0 AND sequence = ANY (chosen);
    END IF;
  END IF;

  IF counted THEN
    SELECT count(*) INTO waiting_events FROM queue WHERE as_id = service AND txn_id NOT IN
      (SELECT t.txn_id FROM application_services_txns t WHERE t.as_id = service AND t.parked);
  END IF;
  IF next.txn_id IS NULL THEN
    RETURN QUERY SELECT 0::BIGINT, 0::BIGINT, 0::BIGINT, 0::BIGINT, waiting_events, ''::TEXT, 0::BIGINT, 0::BIGINT;
  ELSE
    RETURN QUERY SELECT next.txn_id, next.created, next.failures, next.refusals, waiting_events, events.body,
                        events.age_ts, events.accepted
    FROM queue JOIN events USING (sequence) WHERE as_id = service AND txn_id = next.txn_id ORDER BY sequence;
  END IF;
END
$$;
)";

// What a service has is forgotten at once if its turn to be forgotten has been; those of which that was not done go
// now.
constexpr const char* kForgetLate = R"(
DELETE FROM events WHERE waiting = 0 AND sequence <= (SELECT up_to FROM forgotten);

-- One row for each event of the next transaction; or one, without a transaction.
CREATE OR REPLACE FUNCTION appservice_advance(
  service TEXT, kind BIGINT, done BIGINT, why TEXT, most_events BIGINT, most_bytes BIGINT, now BIGINT, counted BOOLEAN)
RETURNS TABLE (txn BIGINT, at BIGINT, failed BIGINT, refused BIGINT, backlog BIGINT, event TEXT, age BIGINT,
               since BIGINT)
LANGUAGE plpgsql AS $$
DECLARE
  next application_services_txns;
  chosen BIGINT[];
  waiting_events BIGINT;
BEGIN
  IF kind = 1 THEN
    DELETE FROM events WHERE waiting = 1 AND sequence <= (SELECT up_to FROM forgotten)
      AND sequence IN (SELECT q.sequence FROM queue q WHERE q.as_id = service AND q.txn_id = done);
    WITH gone AS (DELETE FROM queue WHERE as_id = service AND txn_id = done RETURNING sequence)
    UPDATE events SET waiting = waiting - 1, body = CASE waiting WHEN 1 THEN '' ELSE body END
    FROM gone WHERE events.sequence = gone.sequence;
    DELETE FROM application_services_txns WHERE as_id = service AND txn_id = done;
  ELSIF kind = 2 THEN
    UPDATE queue SET txn_id = 0 WHERE as_id = service AND txn_id = done;
    DELETE FROM application_services_txns WHERE as_id = service AND txn_id = done;
  ELSIF kind = 3 THEN
    UPDATE application_services_txns SET parked = TRUE, reason = why WHERE as_id = service AND txn_id = done;
  END IF;

  SELECT * INTO next FROM application_services_txns WHERE as_id = service AND NOT parked ORDER BY txn_id LIMIT 1;
  IF NOT FOUND THEN
    SELECT array_agg(c.sequence) INTO chosen FROM (
      SELECT q.sequence, row_number() OVER w AS number, sum(appservice_bytes(q.body, q.age_ts, now)) OVER w AS bytes
      FROM (SELECT queue.sequence, events.body, events.age_ts FROM queue JOIN events USING (sequence)
            WHERE as_id = service AND txn_id = 0 ORDER BY sequence LIMIT most_events) AS q
      WINDOW w AS (ORDER BY q.sequence)) AS c
    WHERE c.number = 1 OR c.bytes <= most_bytes - 13;
    IF chosen IS NULL THEN
      UPDATE application_services_state SET state = 'up' WHERE as_id = service AND state <> 'up';
    ELSE
      INSERT INTO application_services_txns (as_id, txn_id, events, created)
      VALUES (service, appservice_next_id(service), cardinality(chosen), now) RETURNING * INTO next;
      UPDATE queue SET txn_id = next.txn_id WHERE as_id = service AND txn_id = 0 AND sequence = ANY (chosen);
    END IF;
  END IF;

  IF counted THEN
    SELECT count(*) INTO waiting_events FROM queue WHERE as_id = service AND txn_id NOT IN
      (SELECT t.txn_id FROM application_services_txns t WHERE t.as_id = service AND t.parked);
  END IF;
  IF next.txn_id IS NULL THEN
    RETURN QUERY SELECT 0::BIGINT, 0::BIGINT, 0::BIGINT, 0::BIGINT, waiting_events, ''::TEXT, 0::BIGINT, 0::BIGINT;
  ELSE
    RETURN QUERY SELECT next.txn_id, next.created, next.failures, next.refusals, waiting_events, events.body,
                        events.age_ts, events.accepted
    FROM queue JOIN events USING (sequence) WHERE as_id = service AND txn_id = next.txn_id ORDER BY sequence;
  END IF;
END
$$;
)";

/// The most that limits.bytes_per_transaction may be, and what the columns beside the bodies take. Whatever was frozen
/// once must be given again: a limit that it does not fit in would be met for ever.
constexpr std::size_t kMostResultBytes = (std::size_t{1} << 30) + (64U << 20);

PostgresOptions options_for(const std::string& uri) {
  PostgresOptions options;
  options.uri = uri;
  options.application_name = "snowfox-appservice";
  options.migrations = {{1, kSchema}, {2, kForgetLate}};
  options.schema_table = "snowfox_appservice_schema";
  options.lock_key = kLockKey;
  options.max_result_bytes = kMostResultBytes;
  // Who submits is told at once, and whoever delivers tries again by himself.
  options.require_connected = true;
  return options;
}

/// What appservice_accept() takes: arrays, for one statement cannot be called with objects.
struct AcceptArrays {
  explicit AcceptArrays(const Submission& submission) {
    for (std::size_t i = 0; i < submission.events.size(); ++i) add(submission.events[i], static_cast<std::int64_t>(i));
  }

  void add(const NewEvent& event, std::int64_t index) {
    ids.push_back(event.event_id);
    bodies.push_back(event.services.empty() ? std::string() : event.body);
    ages.push_back(event.age_ts);
    for (const std::string& service : event.services) {
      queue_events.push_back(index);
      queue_services.push_back(service);
    }
    if (!event.change) return;
    const RoomChange& change = *event.change;
    const auto number = static_cast<std::int64_t>(change_events.size());
    change_events.push_back(index);
    change_kinds.push_back(static_cast<std::int64_t>(change.kind));
    change_rooms.push_back(change.room_id);
    change_names.push_back(change.kind == RoomChange::Kind::Aliases ? change.aliases.origin : change.user_id);
    for (const std::string& alias : change.aliases.aliases) {
      alias_changes.push_back(number);
      aliases.push_back(alias);
    }
  }

  std::vector<std::string> ids, bodies, queue_services, change_rooms, change_names, aliases;
  std::vector<std::int64_t> ages, queue_events, change_events, change_kinds, alias_changes;
};
static_assert(static_cast<int>(RoomChange::Kind::Joined) == 0 && static_cast<int>(RoomChange::Kind::Left) == 1 &&
              static_cast<int>(RoomChange::Kind::Aliases) == 2);
static_assert(static_cast<int>(Step::Kind::Done) == 1 && static_cast<int>(Step::Kind::Split) == 2 &&
              static_cast<int>(Step::Kind::Park) == 3);

/// The transaction of `service`: the first `count` of its events that are not known.
Transaction claimed(const Submission& submission, const std::vector<bool>& known, const std::string& service,
                    TransactionId id, std::size_t count) {
  TransactionBody body({.events = SIZE_MAX, .bytes = SIZE_MAX}, submission.now);
  for (std::size_t i = 0; i < submission.events.size() && body.events() < count; ++i) {
    const NewEvent& event = submission.events[i];
    if (known[i]) continue;
    for (const std::string& whose : event.services) {
      if (whose == service) body.add(event.body, event.age_ts);
    }
  }
  Transaction transaction{.id = id, .events = body.events(), .oldest = submission.now};
  transaction.body = body.take();
  return transaction;
}

Accepted read_accepted(const Submission& submission, const PostgresResults& results) {
  using Numbers = std::vector<std::int64_t>;
  const auto row = results.at(0).one<Numbers, Numbers, Numbers>();
  Accepted accepted;
  for (const std::int64_t known : std::get<0>(*row)) accepted.known.push_back(known != 0);
  for (std::size_t i = 0; i < submission.claims.size(); ++i) {
    const TransactionId id = std::get<1>(*row).at(i);
    if (id == 0) {
      accepted.transactions.emplace_back();
    } else {
      accepted.transactions.push_back(claimed(submission, accepted.known, submission.claims[i], id,
                                              static_cast<std::size_t>(std::get<2>(*row).at(i))));
    }
  }
  return accepted;
}

Advanced read_advanced(const PostgresResults& results) {
  const PostgresResult& rows = results.at(0);
  Advanced advanced;
  advanced.backlog = rows[0].get<std::optional<std::uint64_t>>(4);
  if (results.size() > 1) advanced.parked = results[1].one<std::uint64_t>();
  const auto id = rows[0].get<TransactionId>(0);
  if (id == 0) return advanced;
  Transaction transaction{.id = id,
                          .events = rows.size(),
                          .oldest = rows[0].get<Milliseconds>(7),
                          .failures = rows[0].get<std::uint32_t>(2),
                          .refusals = rows[0].get<std::uint32_t>(3)};
  TransactionBody body({.events = SIZE_MAX, .bytes = SIZE_MAX}, rows[0].get<Milliseconds>(1));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    body.add(rows[i].get<std::string_view>(5), rows[i].get<Milliseconds>(6));
  }
  transaction.body = body.take();
  advanced.next = std::move(transaction);
  return advanced;
}

}  // namespace

PostgresStore::PostgresStore(LoopManager& loop, const std::string& uri, std::uint64_t remembered_events)
    : database_(loop, options_for(uri)),
      remembered_events_(remembered_events),
      on_changed_(database_.changed().add([this](const PostgresStatus& /*now*/) {
        if (std::exchange(connected_, database_.connected()) || !connected_) return;
        if (std::exchange(connected_before_, true)) back_();
      })) {}

Promise<Accepted> PostgresStore::accept(Submission submission) {
  const AcceptArrays arrays(submission);
  PostgresUnit unit("SELECT * FROM appservice_accept($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16)",
                    arrays.ids, arrays.bodies, arrays.ages, submission.now, remembered_events_, arrays.queue_events,
                    arrays.queue_services, arrays.change_events, arrays.change_kinds, arrays.change_rooms,
                    arrays.change_names, arrays.alias_changes, arrays.aliases, submission.claims,
                    submission.limits.events, submission.limits.bytes);
  return database_.write(std::move(unit)).then([submission = std::move(submission)](const PostgresResults& results) {
    return read_accepted(submission, results);
  });
}

Promise<Advanced> PostgresStore::advance(Step step) {
  PostgresUnit unit("SELECT * FROM appservice_advance($1,$2,$3,$4,$5,$6,$7,$8)", step.service, step.kind,
                    step.transaction, step.reason, step.limits.events, step.limits.bytes, step.now, step.count);
  if (step.count) {
    unit.add("SELECT count(*) FROM application_services_txns WHERE as_id = $1 AND parked", step.service);
  }
  return database_.write(std::move(unit)).then([](const PostgresResults& results) { return read_advanced(results); });
}

Promise<void> PostgresStore::failed(std::string service, TransactionId transaction, std::uint32_t failures,
                                    std::uint32_t refusals, std::string reason) {
  PostgresUnit unit(
      "UPDATE application_services_txns SET failures = $1, refusals = $2, reason = $3 WHERE as_id = $4 AND txn_id = $5",
      failures, refusals, reason, service, transaction);
  unit.add("UPDATE application_services_state SET state = 'down' WHERE as_id = $1 AND state <> 'down'", service);
  return database_.write(std::move(unit)).then([](const PostgresResults&) {});
}

Promise<void> PostgresStore::pause(std::string service, bool paused) {
  PostgresUnit unit(
      "INSERT INTO application_services_state (as_id, paused) VALUES ($1, $2)"
      " ON CONFLICT (as_id) DO UPDATE SET paused = excluded.paused",
      service, paused);
  return database_.write(std::move(unit)).then([](const PostgresResults&) {});
}

Promise<std::vector<ServiceRecord>> PostgresStore::services() {
  // Counts millions of events, if there are so many.
  PostgresCallOptions call;
  call.deadline = std::chrono::minutes(10);
  return database_
      .read(call,
            "SELECT id, coalesce(s.state, 'up') = 'up', coalesce(s.paused, FALSE), coalesce(s.last_txn, 0),"
            " greatest(coalesce(q.waiting, 0) - coalesce(p.events, 0), 0)::BIGINT, coalesce(p.parked, 0)"
            " FROM application_services_state s"
            " FULL JOIN (SELECT as_id, count(*) AS waiting FROM queue GROUP BY as_id) q USING (as_id)"
            " LEFT JOIN (SELECT as_id, count(*) AS parked, sum(events) AS events FROM application_services_txns"
            "            WHERE parked GROUP BY as_id) p USING (as_id)"
            " CROSS JOIN LATERAL (SELECT as_id AS id) i")
      .then([](const PostgresResult& rows) {
        std::vector<ServiceRecord> records;
        for (std::size_t i = 0; i < rows.size(); ++i) {
          records.push_back({.id = rows[i].get<std::string>(0),
                             .up = rows[i].get<bool>(1),
                             .paused = rows[i].get<bool>(2),
                             .last_transaction = rows[i].get<TransactionId>(3),
                             .backlog = rows[i].get<std::uint64_t>(4),
                             .parked = rows[i].get<std::uint64_t>(5)});
        }
        return records;
      });
}

Promise<std::vector<ParkedTransaction>> PostgresStore::parked(std::string service, std::size_t most) {
  return database_
      .read(
          "SELECT txn_id, events, reason, created, failures FROM application_services_txns"
          " WHERE as_id = $1 AND parked ORDER BY txn_id LIMIT $2",
          service, most)
      .then([](const PostgresResult& rows) {
        std::vector<ParkedTransaction> result;
        for (std::size_t i = 0; i < rows.size(); ++i) {
          result.push_back({rows[i].get<TransactionId>(0), rows[i].get<std::size_t>(1), rows[i].get<std::string>(2),
                            rows[i].get<Milliseconds>(3), rows[i].get<std::uint32_t>(4)});
        }
        return result;
      });
}

Promise<std::optional<std::size_t>> PostgresStore::requeue(std::string service, TransactionId transaction) {
  PostgresUnit unit(
      "UPDATE application_services_txns SET parked = FALSE, failures = 0, refusals = 0"
      " WHERE as_id = $1 AND txn_id = $2 AND parked RETURNING events",
      service, transaction);
  return database_.write(std::move(unit)).then([](const PostgresResults& results) {
    return results.at(0).one<std::size_t>();
  });
}

Promise<std::vector<std::string>> PostgresStore::known(std::vector<std::string> event_ids) {
  return database_.read("SELECT event_id FROM events WHERE event_id = ANY ($1)", event_ids)
      .then([](const PostgresResult& rows) {
        std::vector<std::string> known;
        for (std::size_t i = 0; i < rows.size(); ++i) known.push_back(rows[i].get<std::string>(0));
        return known;
      });
}

Promise<StoredRoom> PostgresStore::load_room(const std::string& room_id) {
  return database_
      .read(
          "SELECT array(SELECT user_id FROM room_members WHERE room_id = $1), origin, array_agg(alias)"
          " FROM (SELECT origin, alias FROM room_aliases WHERE room_id = $1 UNION ALL SELECT NULL, NULL) AS a"
          " GROUP BY origin",
          room_id)
      .then([](const PostgresResult& rows) {
        StoredRoom room;
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const auto origin = rows[i].get<std::optional<std::string>>(1);
          if (!origin) {
            room.members = rows[i].get<std::vector<std::string>>(0);
          } else {
            room.aliases.push_back({*origin, rows[i].get<std::vector<std::string>>(2)});
          }
        }
        return room;
      });
}

std::string PostgresStore::trouble() const {
  const PostgresStatus status = database_.status();
  if (database_.connected() && status.readers_connected > 0) return {};
  return "no connection to PostgreSQL" + (status.last_error.empty() ? std::string() : ": " + status.last_error);
}

std::size_t PostgresStore::backlog_bytes() const { return database_.status().pending_bytes; }

Promise<void> PostgresStore::close() { return database_.close(); }

}  // namespace snowfox::appservice
