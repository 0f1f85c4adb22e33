#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <snowfox/context/configuration_place.h>
#include <snowfox/context/static_scope.h>
#include <snowfox/context/yaml_mapping.h>
#include <snowfox/core/address.h>
#include <snowfox/core/clock.h>

namespace snowfox::appservice {

/// Where events and queues are kept.
struct StoreConfiguration {
  enum class Kind : std::uint8_t { Sqlite, Postgres };

  Kind kind = Kind::Sqlite;
  /// Of SQLite the file's path, of PostgreSQL what libpq is given: a URI or `keyword=value` pairs. It may hold a
  /// password: only shown() is for people.
  std::string path_or_uri;

  /// `sqlite:PATH`; or `postgres://HOST:PORT/DATABASE` without user, password and options, as far as it can be told.
  std::string shown() const;
};

struct Limits {
  std::size_t events_per_transaction = 100;
  std::size_t bytes_per_transaction = 4U << 20;
  Duration connect_timeout = std::chrono::seconds(10);
  Duration response_timeout = std::chrono::seconds(60);  ///< for the head of an answer
  Duration body_timeout = std::chrono::seconds(30);      ///< and then for its body
  std::uint32_t park_after = 10;                         ///< so many refusals (4xx) of a transaction; 0: never
  std::uint32_t park_server_errors_after = 0;            ///< so many other failures; 0: never
  Duration first_retry = std::chrono::seconds(2);
  Duration longest_retry = std::chrono::seconds(512);
  std::size_t max_event_bytes = 64U << 10;  ///< without `unsigned`, which may have as many again
  std::size_t max_submit_bytes = 8U << 20;
};

/// What the scheduler's file says.
struct Configuration {
  Address listen = Address::tcp("127.0.0.1", 9008);  ///< for submits and pings
  Address admin = Address::tcp("127.0.0.1", 9009);   ///< elsewhere than on the loopback only if the file says so
  std::vector<std::string> admin_hosts;              ///< names, besides localhost, by which `admin` may be asked
  std::string submit_token;                          ///< empty: none is asked for
  StoreConfiguration store;
  std::vector<Located<std::string>> registrations;  ///< paths of their files
  std::string homeserver_domain;
  Limits limits;
  LogSettings log;
  bool legacy_query_token = false;  ///< services get `?access_token=`, too
  Duration shutdown_timeout = std::chrono::seconds(10);
  std::size_t remember_event_ids = 1'000'000;  ///< of events that are done, so that none is queued twice

  /// The paths alone, for Registrations::load().
  std::vector<std::string> registration_files() const;
};

/// Relative paths are taken to begin in the directory of the file that gives them.
void read_yaml(YamlMapping& yaml, Configuration& configuration);

}  // namespace snowfox::appservice
