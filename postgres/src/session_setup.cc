#include "session_setup.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <stdexcept>

namespace snowfox {
namespace {

// Migrations of all programs take turns by this advisory lock: "snowfox" and a one.
constexpr std::int64_t kMigrationLock = 0x736E6F77666F7801;

bool plain_name(std::string_view name) {
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.'; };
  return !name.empty() && std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace

SessionSetup::SessionSetup(const PostgresOptions& options, Kind kind) : options_(options), kind_(kind) {
  if (!plain_name(options.schema_table)) {
    throw std::invalid_argument("schema_table must be a name of small letters, digits, _ and .: " +
                                options.schema_table);
  }
  for ([[maybe_unused]] std::uint32_t last = 0; const PostgresMigration& migration : options.migrations) {
    assert(migration.version > last);
    last = migration.version;
  }
}

void SessionSetup::begin() noexcept {
  step_ = Step::Session;
  migration_ = 0;
  version_ = 0;
}

std::optional<std::string> SessionSetup::next(const std::string& value) {
  switch (step_) {
    case Step::Session: step_ = kind_ == Kind::Reading ? Step::Done : Step::TryLock; return session();
    case Step::TryLock:
      if (options_.lock_key) {
        step_ = Step::Locked;
        return "SELECT pg_try_advisory_lock(" + std::to_string(*options_.lock_key) + ")";
      }
      break;
    case Step::Locked:
      if (value != "t") {
        throw PostgresError(PostgresErrc::HeldElsewhere,
                            "another session has the advisory lock " + std::to_string(*options_.lock_key));
      }
      break;
    case Step::LockSchema:
      step_ = Step::Schema;
      if (value == "t") return next(value);
      return "CREATE TABLE " + options_.schema_table + " (version bigint NOT NULL)";
    case Step::Schema: step_ = Step::Version; return "SELECT coalesce(max(version), 0) FROM " + options_.schema_table;
    case Step::Version: return first_migration(value);
    case Step::Migrate: return migrate();
    case Step::Commit: step_ = Step::Done; return std::nullopt;
    case Step::Done: return std::nullopt;
  }
  if (options_.migrations.empty()) {
    step_ = Step::Done;
    return std::nullopt;
  }
  step_ = Step::LockSchema;
  return "BEGIN; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(" + std::to_string(kMigrationLock) +
         "); SELECT to_regclass('" + options_.schema_table + "') IS NOT NULL";
}

std::string SessionSetup::session() const {
  std::string sql = "SET statement_timeout = " + std::to_string(options_.statement_timeout.count()) +
                    "; SET idle_in_transaction_session_timeout = 0; SET bytea_output = 'hex'; SET DateStyle = 'ISO'; "
                    "SET standard_conforming_strings = on; ";
  if (kind_ == Kind::Reading) return sql + "SET default_transaction_read_only = on";
  // What the server calls off would not survive it; all others do.
  return sql +
         "SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed'; "
         "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
}

std::string SessionSetup::first_migration(const std::string& value) {
  std::uint64_t there = 0;
  const auto end = std::from_chars(value.data(), value.data() + value.size(), there);
  const std::uint32_t newest = options_.migrations.back().version;
  if (end.ec != std::errc() || there > newest) {
    throw PostgresError(PostgresErrc::NewerSchema, "the database has version " + value +
                                                       ", and this program knows none above " + std::to_string(newest));
  }
  version_ = static_cast<std::uint32_t>(there);
  while (migration_ < options_.migrations.size() && options_.migrations[migration_].version <= version_) ++migration_;
  return migrate();
}

std::string SessionSetup::migrate() {
  if (migration_ == options_.migrations.size()) {
    step_ = Step::Commit;
    return "COMMIT";
  }
  step_ = Step::Migrate;
  const PostgresMigration& migration = options_.migrations[migration_++];
  version_ = migration.version;
  // The SQL may end in a comment.
  return migration.sql + "\n; DELETE FROM " + options_.schema_table + "; INSERT INTO " + options_.schema_table +
         " VALUES (" + std::to_string(version_) + ")";
}

std::string SessionSetup::doing() const {
  switch (step_) {
    case Step::LockSchema:
    case Step::Schema:
    case Step::Version: return "look for the version of the database";
    case Step::Migrate: return "bring the database to version " + std::to_string(version_);
    case Step::Commit: return "commit the migrations";
    default: return "set up the session";
  }
}

}  // namespace snowfox
