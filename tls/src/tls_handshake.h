#pragma once

#include <functional>
#include <string>

#include <snowfox/core/channel.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/timer.h>
#include <snowfox/tls/tls_client_context.h>

#include "tls_handshakes.h"
#include "tls_io.h"

namespace snowfox {

/// From a connection's first byte to its first byte of plaintext. The loop owns it; it removes itself when it is over.
class TlsHandshake final : public EventSource, private ListNode<TlsHandshakes>, private ListNode<InTlsContext> {
 public:
  /// Called once, when this is over already, unless it was abandoned.
  using OnOver = TlsClientContext::OnDone;

  /// Throws as TlsIo::make() does; `plain` has lost its descriptor then.
  static void begin(TlsHandshakes& all, const ChannelRef& plain, const Address& peer, const std::string& host,
                    OnOver on_over);

  TlsHandshake(TlsHandshakes& all, ChannelRef channel, const Address& peer, OnOver on_over);
  ~TlsHandshake() override { TlsHandshake::on_removed(); }

  bool queued() const noexcept { return ListNode<TlsHandshakes>::linked(); }
  /// Goes on as far as it can: of a handshake that is over by that, the last that is called on this.
  void step();
  /// The context goes.
  void abandon() noexcept;

  EventRef parse() override { return nullptr; }
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override;

 private:
  friend class IntrusiveList<TlsHandshake, TlsHandshakes>;
  friend class IntrusiveList<TlsHandshake, InTlsContext>;

  /// What the handshake sends.
  class Output;
  struct Deadline final : Timer {
    explicit Deadline(TlsHandshake& whose) noexcept : handshake(whose) {}
    void expire() noexcept override { handshake.end_with(TlsErrc::HandshakeTimeout); }
    TlsHandshake& handshake;
  };

  TlsIo& io() const noexcept { return TlsIo::of(*channel_); }
  void go_on();
  void send_records();
  void finish();
  void report();
  void end_with(std::error_code reason) noexcept;
  void on_readable() noexcept override;
  void on_removed() noexcept override;
  void fail(std::error_code error) noexcept override { end_with(error); }

  TlsHandshakes* all_;  // null once the context is gone, or this is over
  ChannelRef channel_;
  Address peer_;
  OnOver on_over_;
  DrainId output_ = kNoDrain;
  Deadline deadline_{*this};
  TlsFailure failure_;
  bool complete_ = false;
};

}  // namespace snowfox
