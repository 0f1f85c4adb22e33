#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <snowfox/postgres/postgres_error.h>
#include <snowfox/postgres/postgres_options.h>

namespace snowfox {

/// What a new session of the server is asked and told before it is used: scripts one after the other, of which each
/// gives at most one value to decide by.
class SessionSetup {
 public:
  enum class Kind : std::uint8_t { Writing, Reading };

  /// Throws std::invalid_argument if PostgresOptions::schema_table is no name.
  SessionSetup(const PostgresOptions& options, Kind kind);

  void begin() noexcept;
  /// The next script, or nothing when all is set up. `value` is what the one before has given last.
  /// Throws PostgresErrc::HeldElsewhere or PostgresErrc::NewerSchema.
  std::optional<std::string> next(const std::string& value);
  /// Migrations are under way, which may take their time.
  bool migrating() const noexcept { return step_ >= Step::LockSchema && step_ < Step::Done; }
  /// What it does, for errors: `bring the database to version 3`.
  std::string doing() const;
  std::uint32_t version() const noexcept { return version_; }

 private:
  enum class Step : std::uint8_t { Session, TryLock, Locked, LockSchema, Schema, Version, Migrate, Commit, Done };
  std::string session() const;
  std::string first_migration(const std::string& value);
  std::string migrate();

  const PostgresOptions& options_;
  Kind kind_;
  Step step_ = Step::Session;
  std::size_t migration_ = 0;
  std::uint32_t version_ = 0;
};

}  // namespace snowfox
