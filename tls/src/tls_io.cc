#include "tls_io.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>

#include <snowfox/core/error.h>
#include <snowfox/core/event_source.h>
#include <snowfox/drains/stream_drain.h>

#include "peer_certificate.h"

namespace snowfox {
namespace {

/// What one record holds (RFC 8446, 5.1).
constexpr std::size_t kRecordBytes = 16U << 10;
/// Encrypted at a time: with what encryption adds it fits into one buffer.
constexpr std::size_t kEncryptedAtOnce = 3 * kRecordBytes;
/// Received at a time.
constexpr std::size_t kLeastRead = BufferPool::kMedium - sizeof(Buffer);
constexpr std::size_t kMostRead = BufferPool::kLarge - sizeof(Buffer);
/// After so much another connection has its turn.
constexpr std::size_t kSentAtOnce = 1U << 20;
/// More than a peer can bring about that takes what we send: it asks for new keys again and again, and reads nothing.
constexpr std::size_t kMostUntaken = 256U << 10;
constexpr Duration kFirstFarewell = std::chrono::milliseconds(5);
constexpr Duration kLongestFarewell = std::chrono::milliseconds(200);

std::size_t size_of(std::span<const iovec> pieces) noexcept {
  std::size_t size = 0;
  for (const iovec& piece : pieces) size += piece.iov_len;
  return size;
}

/// What a write has returned: the kernel has no room now.
bool full(int error) noexcept { return error == -EAGAIN || error == -ENOBUFS; }

bool is_ip_address(const std::string& host) noexcept {
  std::array<unsigned char, 16> ignored;
  return inet_pton(AF_INET, host.c_str(), ignored.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), ignored.data()) == 1;
}

}  // namespace

struct TlsIo::Memory {
  static const BIO_METHOD* method() {
    // Made once, for all: it never changes.
    static const BIO_METHOD* const made = make();
    if (made == nullptr) throw std::bad_alloc();
    return made;
  }

 private:
  static BIO_METHOD* make() noexcept {
    BIO_METHOD* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "snowfox");
    if (method == nullptr) return nullptr;
    BIO_meth_set_read_ex(method, &read);
    BIO_meth_set_write_ex(method, &write);
    BIO_meth_set_ctrl(method, [](BIO*, int command, long, void*) -> long { return command == BIO_CTRL_FLUSH ? 1 : 0; });
    BIO_meth_set_create(method, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return method;
  }
  static int read(BIO* bio, char* into, std::size_t size, std::size_t* count) noexcept {
    BIO_clear_retry_flags(bio);
    TlsIo& io = *static_cast<TlsIo*>(BIO_get_data(bio));
    *count = io.input_ == nullptr ? 0 : std::min(size, io.input_->size());
    if (*count == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    std::memcpy(into, io.input_->data().data(), *count);
    io.input_->consumed(*count);
    return 1;
  }
  static int write(BIO* bio, const char* from, std::size_t size, std::size_t* count) noexcept {
    BIO_clear_retry_flags(bio);
    *count = 0;
    try {
      static_cast<TlsIo*>(BIO_get_data(bio))->records_.append(std::as_bytes(std::span(from, size)));
    } catch (const std::bad_alloc&) {
      static_cast<TlsIo*>(BIO_get_data(bio))->out_of_memory_ = true;
      return 0;
    }
    *count = size;
    return 1;
  }
};

// --- its life ---

TlsIo::TlsIo(LoopManager& loop, Io& under, TlsSettingsRef settings, TlsBooksRef books)
    : loop_(loop), under_(under), settings_(std::move(settings)), books_(std::move(books)), records_(loop.buffers()) {}

TlsIo::~TlsIo() {
  if (input_ != nullptr) loop_.buffers().give_back(input_);
}

ChannelRef TlsIo::make(LoopManager& loop, const ChannelRef& plain, TlsSettingsRef settings, TlsBooksRef books,
                       const std::string& host) {
  Descriptor bare = plain->release();
  auto* const io = new TlsIo(loop, bare.io(), std::move(settings), std::move(books));
  Descriptor descriptor(*io, bare.release());
  io->prepare(host);
  ChannelRef channel = Channel::make(loop, std::move(descriptor));
  io->counted_ = plain;
  io->channel_ = channel.get();
  return channel;
}

void TlsIo::prepare(const std::string& host) {
  const OpensslErrors errors;
  ssl_.reset(SSL_new(settings_->context.get()));
  BioRef memory(BIO_new(Memory::method()));
  if (!ssl_ || !memory) throw std::bad_alloc();
  BIO_set_data(memory.get(), this);
  SSL_set_bio(ssl_.get(), memory.get(), memory.get());
  static_cast<void>(memory.release());
  SSL_set_app_data(ssl_.get(), this);
  if (settings_->server) {
    SSL_set_accept_state(ssl_.get());
    return;
  }
  SSL_set_connect_state(ssl_.get());
  server_name_ = host;
  X509_VERIFY_PARAM* const expected = SSL_get0_param(ssl_.get());
  X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  // OpenSSL's macro for SSL_set_tlsext_host_name() has a cast that the compiler warns of.
  const bool understood = is_ip_address(host)
                              ? X509_VERIFY_PARAM_set1_ip_asc(expected, host.c_str()) == 1
                              : SSL_set1_host(ssl_.get(), host.c_str()) == 1 &&
                                    SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                                             const_cast<char*>(host.c_str())) == 1;
  if (!understood) throw std::invalid_argument("not a host: " + host);
}

void TlsIo::close(int fd) noexcept {
  if (state_ == State::Established) {
    books_->connections.erase(fd);
    --books_->counters.connections;
    // A peer that has ended, and got all, is answered. One that is left in the middle is to notice.
    if (!shut_ && peer_finished_ && all_sent_ && records_.empty()) {
      const OpensslErrors errors;
      SSL_shutdown(ssl_.get());
      if (full(records_.send(under_, fd))) return close_later(fd);
    }
  }
  destroy(fd);
}

void TlsIo::destroy(int fd) noexcept {
  under_.close(fd);
  delete this;
}

// The kernel was just full. Nobody has the channel any more, so this waits alone.
void TlsIo::close_later(int fd) noexcept {
  channel_ = nullptr;
  abandoned_fd_ = fd;
  last_farewell_ = deadline_after(loop_.now(), StreamDrain::kLongestLinger);
  loop_.park(farewell_);
  wait_to_say_farewell();
}

void TlsIo::Farewell::on_loop_gone() noexcept { io.destroy(io.abandoned_fd_); }

void TlsIo::set_server_name(std::string_view name) noexcept {
  // It goes into logs, and comes from anybody.
  const bool is_name = name.size() <= 255 && std::all_of(name.begin(), name.end(), [](char c) {
                         return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                c == '.' || c == '-' || c == '_';
                       });
  if (!is_name) return;
  try {
    server_name_ = name;
  } catch (const std::bad_alloc&) {
    // Then it is not known.
  }
}

TlsSession TlsIo::session() const {
  const unsigned char* protocol = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &size);
  return {.version = SSL_get_version(ssl_.get()),
          .cipher = SSL_get_cipher_name(ssl_.get()),
          .protocol = std::string(reinterpret_cast<const char*>(protocol), size),
          .server_name = server_name_,
          .resumed = resumed(),
          .peer_certificate = verified_certificate(ssl_.get())};
}

int TlsIo::accept(int, Address&) { return -EOPNOTSUPP; }
int TlsIo::connect(const Address&) { return -EOPNOTSUPP; }
Descriptor TlsIo::listen(const Address& address, const ListenOptions&) {
  throw std::system_error(EOPNOTSUPP, std::system_category(), "listen on " + address.str());
}

// --- what comes in ---

/// One read of at most so many bytes. What it returns is a read's result; above 0, input_ is there.
ssize_t TlsIo::fill(std::size_t most) {
  assert(input_ == nullptr);
  Buffer* const buffer = loop_.buffers().lend(most);
  const ssize_t count = under_.receive(channel_->fd(), buffer->free_space().first(most));
  if (count <= 0) {
    loop_.buffers().give_back(buffer);
    return count;
  }
  buffer->filled(static_cast<std::size_t>(count));
  input_ = buffer;
  return count;
}

TlsFailure TlsIo::what_failed() noexcept {
  TlsFailure failure = failure_of(ssl_.get());
  if (out_of_memory_) failure.code = std::make_error_code(std::errc::not_enough_memory);
  return failure;
}

void TlsIo::input_used() noexcept {
  if (input_ == nullptr || input_->size() != 0) return;
  loop_.buffers().give_back(std::exchange(input_, nullptr));
}

std::size_t TlsIo::decrypt(std::span<std::byte> into) {
  const OpensslErrors errors;
  std::size_t count = 0;
  while (count < into.size()) {
    std::size_t part = 0;
    const int result = SSL_read_ex(ssl_.get(), into.data() + count, into.size() - count, &part);
    if (result == 1) {
      count += part;
      continue;
    }
    const int why = SSL_get_error(ssl_.get(), result);
    if (why == SSL_ERROR_ZERO_RETURN) {
      peer_finished_ = true;
    } else if (why != SSL_ERROR_WANT_READ) {
      failure_ = what_failed();
      state_ = State::Broken;
      books_->connections.erase(channel_->fd());
      --books_->counters.connections;
    }
    break;
  }
  input_used();
  return count;
}

void TlsIo::announce() noexcept {
  const bool more =
      state_ != State::Established || peer_finished_ || input_ != nullptr || SSL_has_pending(ssl_.get()) == 1;
  if (more && channel_->source() != nullptr) static_cast<PollTarget&>(*channel_).on_poll(true, false);
}

ssize_t TlsIo::end_with(std::error_code error) noexcept {
  // Whoever is told may let go of the channel, and with it of this.
  const ChannelRef kept(channel_);
  kept->fail_source(error);
  return -EAGAIN;
}

ssize_t TlsIo::receive(int fd, std::span<std::byte> into) {
  if (peer_finished_) return 0;
  if (state_ == State::Broken) return end_with(failure_.code);
  if (state_ != State::Established) return under_.receive(fd, into);

  std::size_t count = input_ != nullptr || SSL_has_pending(ssl_.get()) == 1 ? decrypt(into) : 0;
  if (count == 0 && input_ == nullptr && !peer_finished_ && state_ == State::Established) {
    const ssize_t got = fill(std::clamp(into.size(), kLeastRead, kMostRead));
    if (got < 0) return got;
    if (got == 0) {
      if (settings_->require_close_notify) return end_with(TlsErrc::Truncated);
      peer_finished_ = true;
      return 0;
    }
    count = decrypt(into);
  }
  if (!records_.empty()) {
    // An alert, or the answer to a request for new keys. If the kernel does not take it now, it goes before what is
    // sent next.
    records_.send(under_, fd);
    if (records_.bytes() - std::min(records_.bytes(), encrypted_) > kMostUntaken) return end_with(Errc::DrainOverflow);
  }
  if (count != 0) {
    if (count == into.size() || peer_finished_ || state_ == State::Broken) announce();
    return static_cast<ssize_t>(count);
  }
  if (peer_finished_) return 0;
  return state_ == State::Broken ? end_with(failure_.code) : -EAGAIN;
}

// --- what goes out ---

/// Of what comes after the first `skip` bytes, as much as is encrypted at once. Returns how much; 0 if it failed.
std::size_t TlsIo::encrypt(std::span<const iovec> from, std::size_t skip) {
  const OpensslErrors errors;
  std::size_t count = 0;
  for (const iovec& piece : from) {
    if (skip >= piece.iov_len) {
      skip -= piece.iov_len;
      continue;
    }
    const auto* at = static_cast<const std::byte*>(piece.iov_base) + skip;
    std::size_t left = piece.iov_len - std::exchange(skip, 0);
    while (left != 0 && count < kEncryptedAtOnce) {
      std::size_t part = 0;
      const std::size_t most = std::min({left, kRecordBytes, kEncryptedAtOnce - count});
      if (SSL_write_ex(ssl_.get(), at, most, &part) != 1) return 0;
      at += part;
      left -= part;
      count += part;
    }
    if (count == kEncryptedAtOnce) break;
  }
  return count;
}

ssize_t TlsIo::send(int fd, std::span<const iovec> from) {
  if (state_ == State::Handshake || state_ == State::Refused) return under_.send(fd, from);
  if (shut_ || state_ == State::Broken) return -EPIPE;
  const std::size_t all = size_of(from);
  std::size_t taken = 0;
  all_sent_ = false;
  while (true) {
    const int error = records_.send(under_, fd);
    // The ciphertext that is left stands for no more plaintext than it has bytes.
    const std::size_t gone = encrypted_ - std::min(encrypted_, records_.bytes());
    encrypted_ -= gone;
    taken += gone;
    if (error != 0) return taken != 0 ? static_cast<ssize_t>(taken) : error;
    if (taken == all) {
      all_sent_ = true;
      return static_cast<ssize_t>(taken);
    }
    if (taken >= kSentAtOnce) return static_cast<ssize_t>(taken);
    encrypted_ = encrypt(from, taken);
    if (encrypted_ == 0) return out_of_memory_ ? -ENOMEM : -EIO;
  }
}

std::size_t TlsIo::undelivered_bytes(int fd) noexcept { return under_.undelivered_bytes(fd) + records_.bytes(); }

void TlsIo::shutdown_write(int fd) noexcept {
  if (state_ != State::Established) return under_.shutdown_write(fd);
  if (!std::exchange(shut_, true)) {
    const OpensslErrors errors;
    SSL_shutdown(ssl_.get());
  }
  say_farewell();
}

// If the kernel has just no room for the few bytes, nobody waits for writability any more.
void TlsIo::say_farewell() noexcept {
  const bool abandoned = channel_ == nullptr;
  const int fd = abandoned ? abandoned_fd_ : channel_->fd();
  const int error = records_.send(under_, fd);
  if (full(error) && (!abandoned || loop_.now() < last_farewell_)) return wait_to_say_farewell();
  if (abandoned) return destroy(fd);
  if (error == 0) {
    under_.shutdown_write(fd);
  } else {
    end_with({-error, std::system_category()});
  }
}

void TlsIo::wait_to_say_farewell() noexcept {
  farewell_.wait = std::min(std::max(2 * farewell_.wait, kFirstFarewell), kLongestFarewell);
  loop_.arm(farewell_, farewell_.wait);
}

// --- the handshake ---

bool TlsIo::peer_speaks_http() const noexcept {
  const std::string_view begin(reinterpret_cast<const char*>(first_bytes_.data()), first_bytes_.size());
  constexpr std::array<std::string_view, 10> kBegins{"GET ",    "POST ",  "HEAD ",   "PUT ",   "DELETE ",
                                                     "OPTIONS", "PATCH ", "CONNECT", "TRACE ", "HTTP/1."};
  return std::any_of(kBegins.begin(), kBegins.end(), [&](std::string_view one) { return begin.starts_with(one); });
}

void TlsIo::fail(std::error_code code, std::string_view detail) noexcept {
  state_ = State::Refused;
  failure_.code = code;
  try {
    failure_.detail = detail;
  } catch (const std::bad_alloc&) {
    failure_.detail.clear();
  }
}

TlsIo::Progress TlsIo::shake() {
  if (settings_->server || begun_) {
    const ssize_t got = fill(kLeastRead);
    if (got == -EAGAIN) return Progress::Waits;
    if (got < 0) {
      fail({static_cast<int>(-got), std::system_category()}, "");
      return Progress::Failed;
    }
    if (got == 0) {
      fail(TlsErrc::ClosedInHandshake, "");
      return Progress::Failed;
    }
    const auto bytes = input_->data();
    for (std::size_t i = 0; received_ + i < first_bytes_.size() && i < bytes.size(); ++i) {
      first_bytes_[received_ + i] = static_cast<unsigned char>(bytes[i]);
    }
    received_ += bytes.size();
  }
  begun_ = true;
  const OpensslErrors errors;
  const int result = SSL_do_handshake(ssl_.get());
  input_used();
  if (result == 1) return Progress::Complete;
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) {
    if (received_ <= settings_->max_handshake_bytes) return Progress::Waits;
    fail(TlsErrc::HandshakeTooLarge, "");
    return Progress::Failed;
  }
  TlsFailure found = what_failed();
  // The first byte of all that is TLS says: a handshake, or an alert. What OpenSSL says of others is about versions.
  if (peer_speaks_http()) {
    found.code = TlsErrc::PlainHttp;
  } else if (received_ != 0 && first_bytes_[0] != SSL3_RT_HANDSHAKE && first_bytes_[0] != SSL3_RT_ALERT) {
    found.code = TlsErrc::NotTls;
  }
  fail(found.code, found.detail);
  return Progress::Failed;
}

void TlsIo::established() {
  books_->connections[channel_->fd()] = this;
  state_ = State::Established;
  ++books_->counters.connections;
  ++books_->counters.completed;
  if (resumed()) ++books_->counters.resumed;
}

}  // namespace snowfox
