// Addresses are read from configurations and command lines, and written to logs and status pages.
#include <snowfox/core/address.h>

#include <stdexcept>
#include <string>

#include "fuzz.h"

using namespace snowfox;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Address address = Address::parse(text);
    demand(text.find('\0') == text.npos, "an address holds a zero byte, and what follows it is ignored");
    demand(address.is_unix() == text.starts_with("unix:"), "an address is of another kind than it says");
    demand(address.is_unix() ? address.path() == text.substr(5) : address.path().empty(),
           "a path is not the one that was given");
    demand(Address::parse(address.str()) == address, "an address is not the same when it is written and read again");
    demand(Address::from_sockaddr(address.data(), address.size()) == address, "an address is not equal to its copy");
  } catch (const std::invalid_argument& error) {
    demand(std::string_view(error.what()).starts_with("address '"), "a refusal does not say what it is about");
  }
  return 0;
}
