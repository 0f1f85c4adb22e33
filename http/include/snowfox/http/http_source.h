#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>

#include <snowfox/core/timer.h>
#include <snowfox/http/http_protocol.h>
#include <snowfox/sources/stream_source.h>

namespace snowfox {

class HttpDrain;
struct Refusal;

/// The requests of one connection, each as an HttpEvent. A request that is none, is too large or too slow is answered
/// with an error that says what and where, and the connection is closed after it; so that the client reads the answer,
/// the drain lingers.
class HttpSource final : public StreamSource {
 public:
  /// `protocol` must outlive it.
  HttpSource(LoopManager& loop, ChannelRef channel, HttpProtocol& protocol, HttpDrain& drain);
  ~HttpSource() override;

  void parse_all(EventSink& sink) override;

 private:
  friend class HttpDrain;
  friend class HttpEvent;
  friend class HttpProtocol;
  class Incoming;
  class BodyEvent;
  class BodyFailed;
  struct Head;
  struct Patience final : Timer {
    explicit Patience(HttpSource& whose) noexcept : source(whose) {}
    void expire() noexcept override { source.look_at_time(); }
    HttpSource& source;
  };
  /// What the client is expected to do, and in time.
  enum class Phase : std::uint8_t { Idle, Head, Body };

  /// What came of looking at what was received: an event, nothing but to go on, nothing until more comes.
  enum class Step : std::uint8_t { Event, GoOn, Wait };

  EventRef parse_frame(ReceiveBuffer& received) override;
  EventRef closed(std::error_code reason) override;

  Event* next(ReceiveBuffer& received, HttpEvent& request, BodyEvent& body);
  Step next_request(ReceiveBuffer& received, HttpEvent& event);
  Step next_chunks(ReceiveBuffer& received, HttpEvent& event);
  Step next_piece(ReceiveBuffer& received, BodyEvent& event);

  std::size_t find_head(std::string_view text);
  bool read_head(std::span<const std::byte> head_bytes, ReceiveBuffer& received, Head& head);
  bool acceptable(ReceiveBuffer& received, Head& head);
  bool may_continue(const Head& head, std::size_t here);
  Step take_whole(ReceiveBuffer& received, Head& head, HttpEvent& event);
  Step take_in_pieces(ReceiveBuffer& received, Head& head, HttpEvent& event);
  bool decoded(Head& head, std::string_view encoded, std::uint32_t number);
  void begin(HttpEvent& event, Head& head, std::uint32_t number);
  void count(const Head& head) noexcept;
  HttpResponder responder(const Head& head, std::uint32_t number) const noexcept;

  void answer_options(ReceiveBuffer& received, Head& head);
  void decline(ReceiveBuffer& received, Head& head, const Refusal& refusal, HttpFields fields = {});
  bool forget_body(ReceiveBuffer& received, const Head& head, bool close_after);
  void await(ReceiveBuffer& received, std::size_t bytes) noexcept;
  void stop_awaiting(ReceiveBuffer& received) noexcept;
  void forget_rest() noexcept;
  bool hold(std::size_t body_bytes) noexcept;
  void refuse(const Refusal& refusal, std::uint32_t number, const CorrelationId& id = {}) noexcept;
  void abandon_body() noexcept;

  void say_continue();
  void hold_up(std::uint32_t until_unanswered) noexcept;
  void answered() noexcept;
  void end_when_idle() noexcept;
  void handled(HttpEvent& event);
  bool streams() const noexcept;
  bool receiving(std::uint32_t number) const noexcept;

  HttpDrain* drain() const noexcept;
  void enter(Phase phase) noexcept;
  void look_at_time() noexcept;

  HttpProtocol& protocol_;
  DrainId drain_;
  Patience patience_{*this};
  TimePoint since_;                     // the phase began, or was looked at
  std::unique_ptr<Incoming> incoming_;  // a body that is taken in pieces
  std::uint64_t awaited_bytes_ = 0;     // of a request whose body is received where its head is
  std::uint64_t received_before_ = 0;   // when the body's rate was looked at last
  std::size_t held_bytes_ = 0;          // of a body that is not complete, as its protocol counts them
  std::uint32_t scanned_bytes_ = 0;     // HeadScan, between reads
  std::uint32_t scanned_lines_ = 0;
  std::uint32_t requests_ = 0;
  std::uint32_t resume_at_ = 0;  // so many unanswered requests, if held_up_
  Phase phase_ = Phase::Idle;
  bool last_ = false;     // nothing is read after the request that was read last
  bool held_up_ = false;  // paused, until answers have left
  bool refused_ = false;
};

/// A connection's two ends.
struct HttpConnection {
  SourceId source;
  DrainId drain;
};

/// Makes the source and the drain of a connection; the loop owns them. While more answers wait than the high watermark,
/// no requests are read. If it throws, neither was made.
HttpConnection serve_http(LoopManager& loop, const ChannelRef& channel, HttpProtocol& protocol,
                          const Watermarks* watermarks = nullptr);

}  // namespace snowfox
