#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <snowfox/context/configuration_error.h>
#include <snowfox/context/yaml_mapping.h>
#include <snowfox/core/io.h>

#include "appservice/pattern.h"

namespace snowfox::appservice {

/// The place of a service in the Registrations that it is part of.
using ServiceIndex = std::uint32_t;

/// What of a namespace one entry takes.
struct NamespaceEntry {
  bool exclusive = false;
  Pattern pattern;
};
using Namespace = std::vector<NamespaceEntry>;

/// An application service, as its registration file says.
struct Registration {
  std::string id;                  ///< not empty, without `|`
  std::optional<std::string> url;  ///< without a `/` at its end; nothing: it wants no transactions
  std::string as_token;            ///< by which it is known to us
  std::string hs_token;            ///< by which we are known to it
  std::string sender_localpart;
  std::string user_id;  ///< its own user: `@SENDER_LOCALPART:HOMESERVER_DOMAIN`
  Namespace users;
  Namespace aliases;
  Namespace rooms;
  bool rate_limited = true;
  std::vector<std::string> protocols;
  bool receive_ephemeral = false;
  std::string file;  ///< where it was read
};

/// Reads what one file says, but for what depends on others: user_id and file. Keys that mean nothing are added to
/// `notes` if it is not null: real files have many.
void read_registration(YamlMapping& yaml, Registration& registration, std::vector<ConfigurationProblem>* notes);

/// All services of a configuration. It never changes: a reload makes another one.
class Registrations {
 public:
  static constexpr std::size_t kMostServices = 10'000;
  static constexpr std::size_t kMostFileBytes = 1U << 20;

  /// Reads `files`, in their order. Throws ConfigurationError with what is wrong with any of them: each problem with
  /// its file, line and key, none with a token. That no two files have the same `id` or `as_token`, and none is listed
  /// twice, is checked too.
  static std::shared_ptr<const Registrations> load(const std::vector<std::string>& files,
                                                   const std::string& homeserver_domain, Io& io = Io::system());

  /// Of services that were not read from files: with ids and tokens of their own each.
  explicit Registrations(std::vector<Registration> services, std::string homeserver_domain = "");

  std::size_t size() const noexcept { return services_.size(); }
  /// `service` must be less than size().
  const Registration& operator[](ServiceIndex service) const noexcept { return services_[service]; }
  auto begin() const noexcept { return services_.begin(); }
  auto end() const noexcept { return services_.end(); }

  std::optional<ServiceIndex> find(std::string_view id) const;
  /// Whose token it is. How long this takes tells how many services and how long their tokens are, and nothing of what
  /// is in them.
  std::optional<ServiceIndex> find_by_token(std::string_view as_token) const noexcept;

  const std::string& homeserver_domain() const noexcept { return homeserver_domain_; }
  /// Keys that were ignored.
  const std::vector<ConfigurationProblem>& notes() const noexcept { return notes_; }

 private:
  Registrations() = default;
  void index();

  std::vector<Registration> services_;
  std::unordered_map<std::string_view, ServiceIndex> by_id_;
  std::string homeserver_domain_;
  std::vector<ConfigurationProblem> notes_;
};

/// Whether `left` and `right` are the same, in a time that depends on their lengths only.
bool same_secret(std::string_view left, std::string_view right) noexcept;

}  // namespace snowfox::appservice
