#pragma once

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "appservice/registration.h"
#include "support/temporary_directory.h"

namespace snowfox::appservice {

/// A registration as a test gives it: `EXCLUSIVE` before a pattern makes it exclusive.
struct TestService {
  std::string id;
  std::vector<std::string> users = {};
  std::vector<std::string> aliases = {};
  std::vector<std::string> rooms = {};
};

/// Services of example.org; the user of `x` is `@x_bot:example.org`.
inline std::shared_ptr<const Registrations> registrations_of(const std::vector<TestService>& services) {
  const TemporaryDirectory directory;
  std::vector<std::string> files;
  for (const TestService& service : services) {
    std::ofstream file(directory / (service.id + ".yaml"));
    file << fmt::format(
        "id: {0}\nurl: null\nas_token: as_{0}\nhs_token: hs_{0}\nsender_localpart: {0}_bot\nnamespaces:\n", service.id);
    const auto write = [&](const char* name, const std::vector<std::string>& patterns) {
      file << "  " << name << ":\n";
      for (const std::string& pattern : patterns) {
        const bool exclusive = pattern.starts_with("EXCLUSIVE ");
        file << fmt::format("    - {{exclusive: {}, regex: '{}'}}\n", exclusive,
                            exclusive ? pattern.substr(10) : pattern);
      }
    };
    write("users", service.users);
    write("aliases", service.aliases);
    write("rooms", service.rooms);
    files.push_back(directory / (service.id + ".yaml"));
  }
  return Registrations::load(files, "example.org");
}

}  // namespace snowfox::appservice
