#include "name_lookup.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <memory>

namespace snowfox {

NameLookup* NameLookup::start(LoopManager& loop, std::vector<DatabaseHost> hosts, Found found) {
  std::unique_ptr<NameLookup> lookup(new NameLookup(loop, std::move(hosts), std::move(found)));
  loop.poller().submit(*lookup);
  loop.hold();
  return lookup.release();
}

void NameLookup::run() noexcept {
  try {
    for (const DatabaseHost& host : hosts_) {
      if (!host.address.empty() || host.name.empty() || host.name.front() == '/' || host.name.front() == '@') {
        addresses_.push_back(host);
        continue;
      }
      addrinfo hints{};
      hints.ai_family = AF_UNSPEC;
      hints.ai_socktype = SOCK_STREAM;
      addrinfo* list = nullptr;
      const int status = ::getaddrinfo(host.name.c_str(), nullptr, &hints, &list);
      if (status != 0) {
        error_ = "look up " + host.name + ": " + ::gai_strerror(status);
        continue;
      }
      const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> found(list, &::freeaddrinfo);
      for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        if (::getnameinfo(each->ai_addr, each->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) {
          continue;
        }
        addresses_.push_back({host.name, text.data(), host.port});
      }
    }
  } catch (const std::exception&) {
    addresses_.clear();
  }
}

void NameLookup::done() noexcept {
  const std::unique_ptr<NameLookup> self(this);
  loop_.release();
  if (found_ != nullptr) found_(std::move(addresses_), std::move(error_));
}

}  // namespace snowfox
