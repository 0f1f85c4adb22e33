// Once the handshake is complete: bytes, ends, limits.
#include <openssl/ssl.h>

#include <algorithm>

#include <snowfox/core/error.h>

#include "tls_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

class TlsConnectionTest : public TlsTest {};

/// So many bytes, of which none of the near ones are equal.
std::string pattern(std::size_t from, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((from + i) * 2654435761U >> 13);
  return text;
}

// Goal: what one end says the other hears, and both know what they agreed on.
TEST_F(TlsConnectionTest, CarriesBytesBothWays) {
  server_options_.protocols = {"http/1.1", "other"};
  client_options_.protocols = {"other", "http/1.1"};
  connect();
  ASSERT_TRUE(client_end_.session && server_end_.session) << client_end_.failure.detail;
  drain(client_end_).enqueue("ping");
  drain(server_end_).enqueue("hello");
  loop_.turn();
  EXPECT_EQ(server_end_.received, "ping");
  EXPECT_EQ(client_end_.received, "hello");

  EXPECT_EQ(server_end_.session->version, "TLSv1.3");
  EXPECT_EQ(server_end_.session->protocol, "http/1.1") << "the server's preference counts";
  EXPECT_EQ(server_end_.session->server_name, "localhost");
  EXPECT_FALSE(server_end_.session->peer_certificate);
  EXPECT_EQ(client_end_.session->cipher, server_end_.session->cipher);
  EXPECT_EQ(client_end_.session->protocol, "http/1.1");
  ASSERT_TRUE(client_end_.session->peer_certificate);
  EXPECT_EQ(client_end_.session->peer_certificate->subject, "CN=localhost");
  EXPECT_EQ(client_end_.session->peer_certificate->issuer, "CN=Test Authority");
  EXPECT_THAT(client_end_.session->peer_certificate->names, ElementsAre("DNS:localhost"));
  EXPECT_EQ(client_end_.session->peer_certificate->fingerprint.size(), 64U);
  EXPECT_GT(client_end_.session->peer_certificate->expires, std::chrono::system_clock::now() + 23h);
  EXPECT_EQ(server().session(drain(server_end_))->version, "TLSv1.3");
  EXPECT_FALSE(server().session(drain(client_end_))) << "the client's is another context's";
  EXPECT_EQ(server().counters().connections, 1U);
  EXPECT_EQ(server().counters().handshakes, 0U);
}

// Goal: much goes both ways at once, all of it once and in order; and while one end does not read, little is held.
TEST_F(TlsConnectionTest, HoldsLittleForWhoDoesNotRead) {
  constexpr std::size_t kAll = 24U << 20;
  const Watermarks watermarks{.high = 256U << 10, .low = 64U << 10, .stall_timeout = 0s};
  client_end_.watermarks = server_end_.watermarks = &watermarks;
  server_end_.on_bytes = [&](std::string_view bytes) { drain(server_end_).enqueue(bytes); };
  std::size_t heard = 0;
  std::size_t wrong = 0;
  client_end_.on_bytes = [&](std::string_view bytes) {
    if (bytes != pattern(heard, bytes.size())) ++wrong;
    heard += bytes.size();
  };
  connect();
  ASSERT_TRUE(server_end_.session);
  drain(server_end_).bind(server_end_.source);

  std::size_t said = 0;
  std::size_t most_lent = 0;
  const auto go_on = [&] {
    while (said < kAll && drain(client_end_).pending_bytes() < watermarks.high) {
      const std::size_t size = std::min<std::size_t>(100'000, kAll - said);
      drain(client_end_).enqueue(pattern(said, size));
      said += size;
    }
    loop_->run_for(Duration::zero());
    most_lent = std::max(most_lent, loop_->buffers().lent_bytes());
  };
  source(client_end_).pause();
  for (int i = 0; i < 200; ++i) go_on();
  EXPECT_LT(heard, kAll);
  const std::size_t stuck_at = said;
  for (int i = 0; i < 50; ++i) go_on();
  EXPECT_EQ(said, stuck_at) << "nothing moves while the client does not read";
  EXPECT_TRUE(drain(server_end_).congested());
  source(client_end_).resume();
  for (int i = 0; i < 100'000 && heard < kAll; ++i) go_on();
  EXPECT_EQ(heard, kAll);
  EXPECT_EQ(wrong, 0U);
  EXPECT_LT(most_lent, 2U << 20);
  loop_.turn();
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
  EXPECT_TRUE(loop_->audit().findings().empty());
}

// Goal: small pieces, too, arrive in order, whatever there is of them in one turn.
TEST_F(TlsConnectionTest, CarriesManySmallPieces) {
  connect();
  std::string all;
  for (int i = 0; i < 5000; ++i) {
    const std::string piece = std::to_string(i) + ' ';
    drain(client_end_).enqueue(piece);
    all += piece;
    if (i % 7 == 0) loop_.turn();
  }
  loop_.turn();
  EXPECT_EQ(server_end_.received, all);
}

// Goal: a side that ends in order says so, and the other is told that this was the end.
TEST_F(TlsConnectionTest, EndsInOrder) {
  connect();
  drain(server_end_).enqueue("last words");
  source(server_end_).close(Errc::EndOfStream);
  loop_.turn();
  EXPECT_EQ(client_end_.received, "last words");
  EXPECT_EQ(client_end_.ended, Errc::EndOfStream);
  EXPECT_EQ(server().counters().connections, 0U);
  EXPECT_EQ(client().counters().connections, 0U);
  EXPECT_EQ(loop_->source_count(), 2U) << "those of the two contexts";
  EXPECT_EQ(loop_->drain_count(), 0U);
}

// Goal: a client that says it sends nothing more gets all that is still to come, and then the end.
TEST_F(TlsConnectionTest, AnswersWhoHasClosedItsSide) {
  connect();
  const std::string much = pattern(0, 3U << 20);
  drain(client_end_).enqueue("all, please");
  loop_.turn();
  drain(server_end_).enqueue(much);
  client_end_.channel->io().shutdown_write(client_end_.channel->fd());
  loop_.turn();
  EXPECT_EQ(server_end_.ended, Errc::EndOfStream);
  EXPECT_TRUE(client_end_.received == much) << client_end_.received.size();
  // The kernel may have had no room for the last few bytes.
  loop_.pass(1s);
  EXPECT_EQ(client_end_.ended, Errc::EndOfStream);
}

// Goal: a connection that is cut off is told from one that was ended.
TEST_F(TlsConnectionTest, TellsWhenItIsCutOff) {
  connect();
  drain(client_end_).enqueue("half of");
  loop_.turn();
  ::shutdown(client_end_.channel->fd(), SHUT_WR);
  loop_.turn();
  EXPECT_EQ(server_end_.received, "half of");
  EXPECT_EQ(server_end_.ended, TlsErrc::Truncated);
}

// Goal: a protocol that knows its own ends may ask not to be told.
TEST_F(TlsConnectionTest, TakesACutForTheEndIfAskedTo) {
  server_options_.require_close_notify = false;
  connect();
  ::shutdown(client_end_.channel->fd(), SHUT_WR);
  loop_.turn();
  EXPECT_EQ(server_end_.ended, Errc::EndOfStream);
}

// Goal: who is dropped with something still to come does not take it for the end.
TEST_F(TlsConnectionTest, DoesNotSayThatItEndedInOrderWhenItDidNot) {
  connect();
  source(client_end_).pause();
  drain(server_end_).enqueue(pattern(0, 4U << 20));
  loop_.turn();
  source(server_end_).close(Errc::IdleTimeout);
  loop_.turn();
  source(client_end_).resume();
  loop_.turn();
  ASSERT_TRUE(client_end_.ended);
  EXPECT_NE(*client_end_.ended, Errc::EndOfStream);
}

// Goal: a peer that does not read is closed by the stall timeout, as without TLS; one that reads slowly is not.
TEST_F(TlsConnectionTest, ClosesWhoDoesNotRead) {
  const Watermarks watermarks{.stall_timeout = 30s};
  server_end_.watermarks = &watermarks;
  connect();
  source(client_end_).pause();
  drain(server_end_).enqueue(pattern(0, 4U << 20));
  loop_.pass(29s);
  EXPECT_FALSE(server_end_.ended);
  source(client_end_).resume();
  while (client_end_.received_bytes < 1U << 20) loop_->run_for(Duration::zero());
  source(client_end_).pause();
  loop_.pass(29s);
  EXPECT_FALSE(server_end_.ended);
  loop_.pass(2s);
  EXPECT_EQ(server_end_.ended, Errc::DrainStalled);
}

// Goal: bytes from somewhere else end the connection, and it says so.
TEST_F(TlsConnectionTest, RefusesWhatWasChangedOnItsWay) {
  connect();
  drain(client_end_).enqueue("before");
  loop_.turn();
  const std::string record("\x17\x03\x03\x00\x20 thirty-two bytes that are none  ", 5 + 32);
  ASSERT_EQ(send_some(client_end_.channel->fd(), record), record.size());
  loop_.turn();
  EXPECT_EQ(server_end_.received, "before");
  EXPECT_EQ(server_end_.ended, TlsErrc::BadRecord);
  EXPECT_EQ(client_end_.ended, TlsErrc::PeerAlert) << "it is told that its record is bad";
  EXPECT_EQ(server().counters().connections, 0U);
}

// Goal: what comes together with the last message of the handshake is not forgotten.
TEST_F(TlsConnectionTest, HearsWhatCameWithTheHandshake) {
  auto [ours, theirs] = make_socket_pair();
  ask(std::move(theirs), client_end_);
  serve(std::move(ours), server_end_);
  while (!client_end_.session) loop_->dispatch(loop_->wait(1s));
  drain(client_end_).enqueue("at once");
  loop_.turn();
  EXPECT_EQ(server_end_.received, "at once");
}

// Goal: connections outlive the contexts they were made with.
TEST_F(TlsConnectionTest, OutlivesItsContext) {
  connect();
  server_.reset();
  client_.reset();
  drain(client_end_).enqueue("still there?");
  loop_.turn();
  EXPECT_EQ(server_end_.received, "still there?");
}

// Goal: who asks for new keys again and again, and never takes the answers, does not make the server hold them.
TEST_F(TlsConnectionTest, HoldsLittleForWhoAsksForNewKeys) {
  auto [ours, theirs] = make_socket_pair();
  serve(std::move(ours), server_end_);
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL* const ssl = SSL_new(context);
  SSL_set_fd(ssl, theirs.get());
  for (int i = 0; i < 10 && SSL_connect(ssl) != 1; ++i) loop_.turn();
  loop_.turn();
  ASSERT_TRUE(server_end_.session);
  std::size_t most_lent = 0;
  for (int i = 0; i < 40'000 && !server_end_.ended; ++i) {
    SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
    if (SSL_do_handshake(ssl) != 1 || i % 16 == 0) loop_.turn();
    most_lent = std::max(most_lent, loop_->buffers().lent_bytes());
  }
  EXPECT_LT(most_lent, 1U << 20);
  SSL_free(ssl);
  SSL_CTX_free(context);
}

// Goal: TLS 1.2 does all that, too.
TEST_F(TlsConnectionTest, SpeaksTheOlderVersion) {
  auto [ours, theirs] = make_socket_pair();
  serve(std::move(ours), server_end_);
  // The client is OpenSSL's own: ours has no upper limit.
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
  SSL* const ssl = SSL_new(context);
  SSL_set_fd(ssl, theirs.get());
  for (int i = 0; i < 10 && SSL_connect(ssl) != 1; ++i) loop_.turn();
  loop_.turn();
  ASSERT_TRUE(server_end_.session);
  EXPECT_EQ(server_end_.session->version, "TLSv1.2");
  EXPECT_EQ(SSL_renegotiate(ssl), 1);
  SSL_do_handshake(ssl);
  SSL_write(ssl, "x", 1);
  loop_.turn();
  EXPECT_NE(server_end_.ended, Errc::EndOfStream) << "asked for, a renegotiation is refused";
  SSL_free(ssl);
  SSL_CTX_free(context);
}

}  // namespace
}  // namespace snowfox
