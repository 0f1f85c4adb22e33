#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <snowfox/core/buffer.h>
#include <snowfox/core/channel.h>
#include <snowfox/core/io.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>

#include "openssl_errors.h"
#include "openssl_handles.h"
#include "record_buffers.h"
#include "tls_books.h"
#include "tls_settings.h"

namespace snowfox {

/// One connection's TLS, as the Io of its channel: who receives gets plaintext, who sends gives it. OpenSSL itself
/// reads and writes nothing but memory.
///
/// It belongs to the descriptor that it is the Io of: closing that destroys it.
class TlsIo final : public Io {
 public:
  /// A channel in place of `plain`, which gives up its descriptor; its place in a listener's count stays taken until
  /// the new one's is closed. `host`: for a client, whose certificate to expect.
  /// Throws std::bad_alloc, or std::system_error if the descriptor cannot be watched; it is closed then.
  static ChannelRef make(LoopManager& loop, const ChannelRef& plain, TlsSettingsRef settings, TlsBooksRef books,
                         const std::string& host);
  static TlsIo& of(const Channel& channel) noexcept { return static_cast<TlsIo&>(channel.io()); }
  static TlsIo& of(SSL* ssl) noexcept { return *static_cast<TlsIo*>(SSL_get_app_data(ssl)); }

  // --- the handshake. Until it is complete, and if it fails, send() sends what it is given as it is, and receive()
  // receives so ---

  enum class Progress : std::uint8_t { Waits, Complete, Failed };
  /// Reads once and goes on with the handshake; a client's first call reads nothing. What is to be sent is in
  /// records().
  Progress shake();
  /// Why it has failed.
  const TlsFailure& failure() const noexcept { return failure_; }
  bool peer_speaks_http() const noexcept;
  RecordBuffers& records() noexcept { return records_; }
  /// From now on plaintext is received and sent.
  void established();
  /// Tells the channel's source that there is something to receive, if there may be.
  void announce() noexcept;

  TlsSession session() const;
  bool resumed() const noexcept { return SSL_session_reused(ssl_.get()) == 1; }
  const TlsSettings& settings() const noexcept { return *settings_; }
  TlsBooks& books() const noexcept { return *books_; }
  void set_server_name(std::string_view name) noexcept;

  // --- as an Io ---

  ssize_t receive(int fd, std::span<std::byte> into) override;
  ssize_t send(int fd, std::span<const iovec> from) override;
  // Nothing goes around TLS.
  ssize_t read(int fd, std::span<std::byte> into) override { return receive(fd, into); }
  ssize_t write(int fd, std::span<const iovec> from) override { return send(fd, from); }
  std::size_t undelivered_bytes(int fd) noexcept override;
  void shutdown_write(int fd) noexcept override;
  void close(int fd) noexcept override;

  std::error_code connect_result(int fd) override { return under_.connect_result(fd); }
  Address local_address(int fd) override { return under_.local_address(fd); }
  std::optional<Address> peer_address(int fd) noexcept override { return under_.peer_address(fd); }
  std::optional<PeerCredentials> peer_credentials(int fd) override { return under_.peer_credentials(fd); }
  // A connection makes none of these.
  int accept(int, Address&) override;
  int connect(const Address&) override;
  Descriptor listen(const Address& address, const ListenOptions& options) override;

 private:
  /// By which OpenSSL reads what was received and writes what is to be sent.
  struct Memory;
  /// The end's own message waits until the kernel takes it.
  struct Farewell final : Timer, Deferred {
    explicit Farewell(TlsIo& whose) noexcept : io(whose) {}
    void expire() noexcept override { io.say_farewell(); }
    void run() noexcept override {}  // it is parked, and never deferred
    void on_loop_gone() noexcept override;
    TlsIo& io;
    Duration wait{};
  };
  enum class State : std::uint8_t { Handshake, Refused, Established, Broken };

  TlsIo(LoopManager& loop, Io& under, TlsSettingsRef settings, TlsBooksRef books);
  ~TlsIo() override;
  void prepare(const std::string& host);

  ssize_t fill(std::size_t most);
  void input_used() noexcept;
  TlsFailure what_failed() noexcept;
  std::size_t decrypt(std::span<std::byte> into);
  std::size_t encrypt(std::span<const iovec> from, std::size_t skip);
  ssize_t end_with(std::error_code error) noexcept;
  void say_farewell() noexcept;
  void wait_to_say_farewell() noexcept;
  void close_later(int fd) noexcept;
  void destroy(int fd) noexcept;
  void fail(std::error_code code, std::string_view detail) noexcept;

  LoopManager& loop_;
  Io& under_;
  TlsSettingsRef settings_;
  TlsBooksRef books_;
  ChannelRef counted_;          // what the descriptor was in before
  Channel* channel_ = nullptr;  // what it is in now
  SslRef ssl_;
  Buffer* input_ = nullptr;    // ciphertext that OpenSSL has not taken yet
  RecordBuffers records_;      // ciphertext that the kernel has not taken yet
  std::size_t encrypted_ = 0;  // so much of what send() was last given is in that already, and was not said to be taken
  std::size_t received_ = 0;   // in the handshake
  TlsFailure failure_;
  std::string server_name_;
  Farewell farewell_{*this};
  TimePoint last_farewell_{};
  int abandoned_fd_ = -1;
  std::array<unsigned char, 8> first_bytes_{};
  State state_ = State::Handshake;
  bool begun_ = false;          // a client has said hello
  bool peer_finished_ = false;  // by close_notify, or what counts as such
  bool all_sent_ = true;        // the last send() took all that it was given
  bool shut_ = false;           // we have said that nothing more comes
  bool out_of_memory_ = false;  // so OpenSSL could not write
};

}  // namespace snowfox
