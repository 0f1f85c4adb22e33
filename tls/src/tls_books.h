#pragma once

#include <memory>
#include <unordered_map>

#include <snowfox/tls/tls_server_context.h>

namespace snowfox {

class TlsIo;

/// What a context knows of its connections. Theirs, too: they may outlive it.
struct TlsBooks {
  TlsCounters counters;
  std::unordered_map<int, TlsIo*> connections;  // complete ones, by their descriptors
};
using TlsBooksRef = std::shared_ptr<TlsBooks>;

}  // namespace snowfox
