// A node's configuration is what it may be, or refused with a place for each problem.
#include <snowfox/context/yaml_reader.h>

#include <set>
#include <string>

#include "fuzz.h"
#include "manager/configuration.h"
#include "problems.h"

using namespace snowfox;
using namespace std::chrono_literals;

namespace {

void check(const node::Configuration& configuration, std::string_view text) {
  demand(!configuration.node_name.empty(), "a node has no name");
  demand(configuration.tick >= 100ms && configuration.tick <= 1h, "the tick is outside of its bounds");
  demand(configuration.api.idle_timeout >= 0s, "a timeout is negative");
  demand(configuration.api.max_clients <= 100'000, "the number of clients is outside of its bounds");
  std::set<std::string> ids;
  for (const node::ServiceConfiguration& service : configuration.services) {
    demand(!service.id->empty() && ids.insert(*service.id).second, "a service's id is empty, or given twice");
    demand(service.id.place.line >= 1 && service.id.place.column >= 1, "a service stands nowhere");
    demand(!service.command.empty() && !service.command.front().empty(), "a service has no program");
    demand(service.backoff >= 100ms && service.backoff <= 1h, "a backoff is outside of its bounds");
    demand(service.stop_signal >= 1 && service.stop_signal < 65, "a signal is none");
  }
  for (const Located<Address>& address : configuration.api.listen) {
    demand(Address::parse(address->str()) == *address, "an address is not the same when written and read again");
  }
  demand(text.find('\0') == text.npos, "a file that is no text is read");
}

/// Whether it is accepted.
bool read(std::string_view text, const YamlOptions& options) {
  const std::string name = "node.yaml";
  try {
    const YamlReader reader = YamlReader::parse(text, name, options);
    demand(reader.metadata().name == name && !reader.metadata().version.empty(),
           "what was read has no name or version");
    check(reader.read<node::Configuration>(), text);
    return true;
  } catch (const ConfigurationError& error) {
    check_problems(error, text, name);
    return false;
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool accepted = read(text, {});
  const bool accepted_with_unknown_keys = read(text, {.ignore_unknown_keys = true});
  demand(!accepted || accepted_with_unknown_keys, "who ignores more refuses more");
  return 0;
}
