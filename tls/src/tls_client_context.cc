#include <snowfox/tls/tls_client_context.h>

#include <stdexcept>
#include <utility>

#include "tls_handshake.h"
#include "tls_handshakes.h"

namespace snowfox {

TlsClientContext::TlsClientContext(LoopManager& loop, TlsClientOptions options)
    : loop_(loop),
      options_(std::move(options)),
      handshakes_(std::make_unique<TlsHandshakes>(loop, TlsSettings::make(options_, loop.log()))) {}

TlsClientContext::~TlsClientContext() = default;

void TlsClientContext::reload(TlsClientOptions options) {
  handshakes_->set_settings(TlsSettings::make(options, loop_.log()));
  options_ = std::move(options);
}

const TlsClientOptions& TlsClientContext::options() const noexcept { return options_; }

void TlsClientContext::connect(const ChannelRef& channel, const std::string& host, OnDone on_done) {
  // OpenSSL would take an empty name, or what comes before a zero, for what is expected: any name, or another.
  if (host.empty() || host.find('\0') != std::string::npos) throw std::invalid_argument("not a host: " + host);
  TlsHandshake::begin(*handshakes_, channel, channel->io().peer_address(channel->fd()).value_or(Address()), host,
                      std::move(on_done));
}

std::optional<TlsSession> TlsClientContext::session(const EventDrain& drain) const {
  return handshakes_->session(drain);
}

const TlsCounters& TlsClientContext::counters() const noexcept { return handshakes_->books()->counters; }

}  // namespace snowfox
