#include <snowfox/tls/tls_server_context.h>

#include <memory>
#include <utility>

#include "tls_handshake.h"
#include "tls_handshakes.h"

namespace snowfox {
namespace {

// A listener's connections share one function.
TlsHandshake::OnOver on_success(std::shared_ptr<const TlsServerContext::OnSecured> on_secured) {
  return [on_secured = std::move(on_secured)](const TlsFailure& failure, TlsConnection connection) {
    if (!failure.code) (*on_secured)(std::move(connection));
  };
}

}  // namespace

TlsServerContext::TlsServerContext(LoopManager& loop, TlsServerOptions options)
    : loop_(loop),
      options_(std::move(options)),
      handshakes_(std::make_unique<TlsHandshakes>(loop, TlsSettings::make(options_, loop.log()))) {}

TlsServerContext::~TlsServerContext() = default;

void TlsServerContext::reload(TlsServerOptions options) {
  handshakes_->set_settings(TlsSettings::make(options, loop_.log()));
  options_ = std::move(options);
}

const TlsServerOptions& TlsServerContext::options() const noexcept { return options_; }

void TlsServerContext::accept(const ChannelRef& channel, const Address& peer, OnSecured on_secured) {
  auto shared = std::make_shared<const OnSecured>(std::move(on_secured));
  TlsHandshake::begin(*handshakes_, channel, peer, {}, on_success(std::move(shared)));
}

ListenerSource::OnConnection TlsServerContext::secured(OnSecured on_secured) {
  return [this, shared = std::make_shared<const OnSecured>(std::move(on_secured))](
             const ListenerSource::Connection& connection) {
    TlsHandshake::begin(*handshakes_, connection.channel, connection.peer, {}, on_success(shared));
  };
}

void TlsServerContext::on_failure(OnFailure on_failure) { handshakes_->on_failure = std::move(on_failure); }

std::optional<TlsSession> TlsServerContext::session(const EventDrain& drain) const {
  return handshakes_->session(drain);
}

const TlsCounters& TlsServerContext::counters() const noexcept { return handshakes_->books()->counters; }

}  // namespace snowfox
