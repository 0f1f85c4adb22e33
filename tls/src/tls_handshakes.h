#pragma once

#include <string>

#include <snowfox/core/event_source.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/loop_manager.h>

#include "tls_books.h"
#include "tls_settings.h"

namespace snowfox {

class TlsHandshake;
struct InTlsContext;

/// The handshakes of one context that are under way. Those that can go on queue up here, so that all of them together
/// have one source's share of a turn: a step of one takes as long as thousands of small events.
class TlsHandshakes final : public EventSource {
 public:
  TlsHandshakes(LoopManager& loop, TlsSettingsRef settings);
  ~TlsHandshakes() override;

  /// Those that begin from now on go by these.
  void set_settings(TlsSettingsRef settings) noexcept { settings_ = std::move(settings); }
  const TlsSettingsRef& settings() const noexcept { return settings_; }
  const TlsBooksRef& books() const noexcept { return books_; }
  std::optional<TlsSession> session(const EventDrain& drain) const;

  /// Told of each that is under way.
  void begun(TlsHandshake& handshake) noexcept;
  /// `handshake` is to have its turn.
  void queue(TlsHandshake& handshake) noexcept;

  TlsServerContext::OnFailure on_failure;

  EventRef parse() override;
  std::string name() const override { return settings_->server ? "TLS handshakes of clients" : "TLS handshakes"; }

 private:
  TlsSettingsRef settings_;
  TlsBooksRef books_;
  IntrusiveList<TlsHandshake, TlsHandshakes> queue_;
  IntrusiveList<TlsHandshake, InTlsContext> all_;
};

}  // namespace snowfox
