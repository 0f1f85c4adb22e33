#include "tls_handshakes.h"

#include <memory>
#include <utility>

#include "tls_handshake.h"
#include "tls_io.h"

namespace snowfox {
namespace {

/// A handshake goes on, if it is still there.
class TlsHandshakeStep final : public Event {
 public:
  explicit TlsHandshakeStep(SourceId handshake) noexcept : handshake_(handshake) {}
  void handle() override {
    if (auto* handshake = loop().fetch<TlsHandshake>(handshake_)) handshake->step();
  }

 private:
  SourceId handshake_;
};

}  // namespace

TlsHandshakes::TlsHandshakes(LoopManager& loop, TlsSettingsRef settings)
    : EventSource(loop), settings_(std::move(settings)), books_(std::make_shared<TlsBooks>()) {
  // Each that is under way is a source that the loop goes on for.
  set_background(true);
}

TlsHandshakes::~TlsHandshakes() {
  while (!all_.empty()) all_.front().abandon();
}

void TlsHandshakes::begun(TlsHandshake& handshake) noexcept {
  all_.push_back(handshake);
  ++books_->counters.handshakes;
}

void TlsHandshakes::queue(TlsHandshake& handshake) noexcept {
  if (!handshake.queued()) queue_.push_back(handshake);
  ready();
}

EventRef TlsHandshakes::parse() {
  if (queue_.empty()) return nullptr;
  EventRef step = std::make_unique<TlsHandshakeStep>(queue_.front().id());
  queue_.pop_front();
  return step;
}

std::optional<TlsSession> TlsHandshakes::session(const EventDrain& drain) const {
  const auto found = books_->connections.find(drain.fd());
  if (found == books_->connections.end()) return std::nullopt;
  return found->second->session();
}

}  // namespace snowfox
