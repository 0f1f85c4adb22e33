#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace snowfox {

/// A host of a connection URI; as there may be several.
struct DatabaseHost {
  std::string name;     ///< as the URI has it: also what a certificate is checked against
  std::string address;  ///< an IP address, once it is known
  std::string port;     ///< empty: libpq's default
};

/// What a connection URI says, taken apart by libpq. It holds the password: nothing of it goes into a log but name().
class ConnectionSettings {
 public:
  /// Throws PostgresErrc::BadUri, which does not show the URI.
  ConnectionSettings(const std::string& uri, const std::string& application_name);

  /// Hosts whose addresses must be looked up; empty if libpq will not look up any: addresses, or Unix sockets.
  const std::vector<DatabaseHost>& names() const noexcept { return names_; }
  /// For PQconnectStartParams; `hosts` in place of those above, if there were any.
  std::vector<std::pair<std::string, std::string>> parameters(const std::vector<DatabaseHost>& hosts) const;
  /// `bridge at db.example`.
  const std::string& name() const noexcept { return name_; }

 private:
  std::string_view get(std::string_view key) const noexcept;
  void set_default(std::string_view key, std::string_view value);

  std::vector<std::pair<std::string, std::string>> values_;
  std::vector<DatabaseHost> names_;
  std::string name_;
};

}  // namespace snowfox
