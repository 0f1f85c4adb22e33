// What becomes of handshakes that do not come about.
#include <openssl/ssl.h>

#include <snowfox/core/error.h>

#include "tls_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class TlsHandshakeTest : public TlsTest {
 protected:
  void expect_nothing_left() {
    // What a peer still says after a refusal is listened to for a while.
    loop_.pass(60s);
    EXPECT_EQ(server().counters().handshakes, 0U);
    EXPECT_EQ(server().counters().connections, 0U);
    EXPECT_EQ(loop_->drain_count(), 0U);
    EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
  }
  /// What a client says first, whose highest version is `version`.
  static std::string hello(int version) {
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0");
    SSL* const ssl = SSL_new(context);
    BIO* const out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_connect(ssl);
    std::string said(4096, '\0');
    const int size = BIO_read(out, said.data(), static_cast<int>(said.size()));
    said.resize(static_cast<std::size_t>(std::max(size, 0)));
    SSL_free(ssl);
    SSL_CTX_free(context);
    return said;
  }
};

TEST_F(TlsHandshakeTest, RefusesAnExpiredCertificate) {
  server_options_.certificate = authority_.issue({.name = "old", .valid_from = -48h, .valid_to = -1h});
  connect();
  EXPECT_EQ(client_end_.failure.code, TlsErrc::CertificateExpired);
  EXPECT_EQ(client_end_.failure.detail, "certificate has expired");
  EXPECT_FALSE(client_end_.session);
  // By TLS 1.3 the server has done its part before it hears of it.
  EXPECT_TRUE(server_end_.failure.code == TlsErrc::RefusedCertificate ||
              server_end_.ended == TlsErrc::RefusedCertificate)
      << server_end_.failure.code.message();
}

TEST_F(TlsHandshakeTest, RefusesACertificateThatIsNotYetValid) {
  server_options_.certificate = authority_.issue({.name = "new", .valid_from = 1h});
  connect();
  EXPECT_EQ(client_end_.failure.code, TlsErrc::CertificateNotYetValid);
}

TEST_F(TlsHandshakeTest, RefusesACertificateForAnotherHost) {
  connect(client_end_, server_end_, "other.example");
  EXPECT_EQ(client_end_.failure.code, TlsErrc::HostMismatch);
  connect(client_end_, server_end_, "127.0.0.1");
  EXPECT_EQ(client_end_.failure.code, TlsErrc::HostMismatch);
  EXPECT_FALSE(client_end_.session);
}

TEST_F(TlsHandshakeTest, TakesACertificateForAnAddress) {
  server_options_.certificate = authority_.issue({.name = "by-address", .alternative = "IP:127.0.0.1,IP:::1"});
  connect(client_end_, server_end_, "127.0.0.1");
  ASSERT_TRUE(client_end_.session) << client_end_.failure.detail;
  EXPECT_THAT(client_end_.session->peer_certificate->names,
              ElementsAre("IP:127.0.0.1", "IP:0000:0000:0000:0000:0000:0000:0000:0001"));
  EXPECT_EQ(server_end_.session->server_name, "") << "an address is no server name";
}

TEST_F(TlsHandshakeTest, RefusesACertificateOfAnotherAuthority) {
  const TestAuthority other("Other Authority");
  client_options_.authorities_file = other.file();
  connect();
  EXPECT_EQ(client_end_.failure.code, TlsErrc::UnknownAuthority);
}

TEST_F(TlsHandshakeTest, TrustsNobodyOfItsOwnInTheSystem) {
  client_options_.authorities_file.clear();
  connect();
  EXPECT_EQ(client_end_.failure.code, TlsErrc::UnknownAuthority);
}

TEST_F(TlsHandshakeTest, TakesAnyServerIfAskedTo) {
  client_options_.authorities_file.clear();
  client_options_.verify = false;
  connect(client_end_, server_end_, "whatever.example");
  ASSERT_TRUE(client_end_.session);
  EXPECT_FALSE(client_end_.session->peer_certificate) << "it was not verified";
}

TEST_F(TlsHandshakeTest, RefusesHostsThatAreNone) {
  auto [ours, theirs] = make_socket_pair();
  EXPECT_THROW(ask(std::move(theirs), client_end_, ""), std::invalid_argument);
  EXPECT_TRUE(theirs || !theirs);
  auto [more, others] = make_socket_pair();
  EXPECT_THROW(ask(std::move(others), client_end_, std::string("localhost\0.evil", 15)), std::invalid_argument);
}

// Goal: a client is known by its certificate, and only by one of the authority named.
TEST_F(TlsHandshakeTest, KnowsClientsByTheirCertificates) {
  server_options_.client_certificates = TlsClientCertificates::Required;
  server_options_.client_authorities = authority_.file();
  client_options_.certificate = authority_.issue({.name = "relay 7\n", .alternative = "URI:urn:relay:7"});
  connect();
  ASSERT_TRUE(server_end_.session) << server_end_.failure.detail;
  ASSERT_TRUE(server_end_.session->peer_certificate);
  EXPECT_EQ(server_end_.session->peer_certificate->subject, "CN=relay 7\\0A");
  EXPECT_THAT(server_end_.session->peer_certificate->names, ElementsAre("URI:urn:relay:7"));

  TestAuthority other("Other Authority");
  client_options_.certificate = other.issue({.name = "stranger"});
  client_.reset();
  TlsEnd stranger;
  TlsEnd refused;
  connect(stranger, refused);
  EXPECT_EQ(server_end_.failure.code, TlsErrc::UnknownAuthority);
  EXPECT_FALSE(refused.session);
}

TEST_F(TlsHandshakeTest, RefusesClientsWithoutACertificate) {
  server_options_.client_certificates = TlsClientCertificates::Required;
  server_options_.client_authorities = authority_.file();
  connect();
  EXPECT_EQ(server_end_.failure.code, TlsErrc::CertificateRequired);
  EXPECT_FALSE(server_end_.session);
  // By TLS 1.3 the client has done its part before it hears of it.
  EXPECT_TRUE(client_end_.ended == TlsErrc::RefusedCertificate ||
              client_end_.failure.code == TlsErrc::RefusedCertificate);
}

TEST_F(TlsHandshakeTest, WelcomesClientsWithoutACertificate) {
  server_options_.client_certificates = TlsClientCertificates::Welcome;
  server_options_.client_authorities = authority_.file();
  connect();
  ASSERT_TRUE(server_end_.session);
  EXPECT_FALSE(server_end_.session->peer_certificate);
}

TEST_F(TlsHandshakeTest, RefusesWhoSpeaksNoSharedProtocol) {
  server_options_.protocols = {"h2"};
  client_options_.protocols = {"http/1.1"};
  connect();
  EXPECT_EQ(server_end_.failure.code, TlsErrc::NoSharedProtocol);
  EXPECT_EQ(client_end_.failure.code, TlsErrc::NoSharedProtocol);
}

TEST_F(TlsHandshakeTest, RefusesOldVersions) {
  const Descriptor client = raw_client();
  const std::string old = hello(TLS1_1_VERSION);
  ASSERT_EQ(send_some(client.get(), old), old.size());
  loop_.turn();
  EXPECT_EQ(server_end_.failure.code, TlsErrc::UnsupportedVersion) << server_end_.failure.detail;
  EXPECT_EQ(receive_some(client.get()).substr(0, 1), "\x15") << "an alert says why";
  expect_nothing_left();
}

TEST_F(TlsHandshakeTest, RefusesAVersionBelowItsLeast) {
  server_options_.least_version = TlsVersion::Tls13;
  const Descriptor client = raw_client();
  send_some(client.get(), hello(TLS1_2_VERSION));
  loop_.turn();
  EXPECT_EQ(server_end_.failure.code, TlsErrc::UnsupportedVersion);
}

// Goal: who forgets the s of https is told so, in words that a browser shows, and so is the log.
TEST_F(TlsHandshakeTest, TellsWhoSpeaksPlainHttp) {
  const Descriptor client = raw_client();
  send_some(client.get(), "GET /secret?token=abc HTTP/1.1\r\nHost: x\r\n\r\n");
  loop_.turn();
  EXPECT_EQ(server_end_.failure.code, TlsErrc::PlainHttp);
  const std::string answer = receive_some(client.get());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(answer, HasSubstr("HTTPS"));
  EXPECT_TRUE(at_end(client.get()));
  const auto line = loop_.sink.find("handshake failed");
  EXPECT_EQ(line.fields.at("reason"), "the peer speaks plain HTTP where TLS is spoken");
  EXPECT_THAT(line.fields.at("detail"), testing::Not(HasSubstr("secret")));
  expect_nothing_left();
}

TEST_F(TlsHandshakeTest, TellsAClientThatItsServerSpeaksPlainHttp) {
  auto [ours, theirs] = make_socket_pair();
  ask(std::move(theirs), client_end_);
  loop_.turn();
  send_some(ours.get(), "HTTP/1.1 400 Bad Request\r\n\r\n");
  loop_.turn();
  EXPECT_EQ(client_end_.failure.code, TlsErrc::PlainHttp);
}

TEST_F(TlsHandshakeTest, RefusesWhatIsNoTls) {
  for (const std::string& garbage : {std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string(300, '\0'),
                                     std::string(70'000, '\xff'), std::string("\n\n\n\n\n")}) {
    server_end_ = {};
    const Descriptor client = raw_client();
    send_some(client.get(), garbage);
    loop_.turn();
    EXPECT_EQ(server_end_.failure.code, TlsErrc::NotTls) << garbage.substr(0, 10) << server_end_.failure.detail;
  }
  expect_nothing_left();
}

TEST_F(TlsHandshakeTest, RefusesAHandshakeThatMakesNoSense) {
  const Descriptor client = raw_client();
  std::string said = hello(TLS1_3_VERSION);
  said[9] = '\x09';  // no version that there is
  said.replace(60, 100, 100, '\x7e');
  send_some(client.get(), said);
  loop_.turn();
  EXPECT_TRUE(server_end_.failure.code);
  EXPECT_EQ(server().counters().failed, 1U);
  expect_nothing_left();
}

// Goal: the whole handshake has one deadline, and bytes that trickle do not put it off.
TEST_F(TlsHandshakeTest, WaitsNoLongerThanItsTimeout) {
  const std::string said = hello(TLS1_3_VERSION);
  const Descriptor client = raw_client();
  for (std::size_t i = 0; i < 9; ++i) {
    ASSERT_EQ(send_some(client.get(), said.substr(i, 1)), 1U);
    loop_.pass(1s);
    EXPECT_FALSE(server_end_.failure.code) << "at " << i;
  }
  loop_.pass(1100ms);
  EXPECT_EQ(server_end_.failure.code, TlsErrc::HandshakeTimeout);
  EXPECT_TRUE(at_end(client.get()));
  expect_nothing_left();
}

TEST_F(TlsHandshakeTest, TakesNoMoreThanItsLimit) {
  server_options_.max_handshake_bytes = 1000;
  const Descriptor client = raw_client();
  std::string record("\x16\x03\x01\x20\x00\x01\x00\x30\x00\x03\x03", 11);
  record.append(1500, 'x');
  send_some(client.get(), record);
  loop_.turn();
  EXPECT_EQ(server_end_.failure.code, TlsErrc::HandshakeTooLarge);
}

TEST_F(TlsHandshakeTest, NoticesWhoLeaves) {
  Descriptor client = raw_client();
  send_some(client.get(), hello(TLS1_3_VERSION).substr(0, 20));
  client.reset();
  loop_.turn();
  EXPECT_EQ(server_end_.failure.code, TlsErrc::ClosedInHandshake);
  expect_nothing_left();
}

// Goal: many at once take turns with who is there already.
TEST_F(TlsHandshakeTest, LeavesTurnsToOthers) {
  connect();
  TlsEnd ends[40][2];
  std::vector<Descriptor> sockets;
  for (auto& pair : ends) {
    auto [ours, theirs] = make_socket_pair();
    serve(std::move(ours), pair[0]);
    ask(std::move(theirs), pair[1]);
  }
  const auto complete = [&] {
    return std::count_if(std::begin(ends), std::end(ends),
                         [](const auto& pair) { return pair[1].session.has_value(); });
  };
  drain(client_end_).enqueue("ping");
  while (server_end_.received.empty()) loop_->dispatch(loop_->wait(1s));
  EXPECT_LT(complete(), 40);
  loop_.turn();
  EXPECT_EQ(complete(), 40);
}

// Goal: whose context goes in the middle is closed, and told nothing.
TEST_F(TlsHandshakeTest, EndsWithItsContext) {
  const Descriptor client = raw_client();
  send_some(client.get(), hello(TLS1_3_VERSION));
  server_.reset();
  loop_.turn();
  EXPECT_TRUE(at_end(client.get()));
  EXPECT_FALSE(server_end_.failure.code);
  EXPECT_EQ(loop_->source_count(), 0U);
}

// Goal: what a program's function throws costs that connection.
TEST_F(TlsHandshakeTest, ClosesWhatNobodyTakes) {
  auto [ours, theirs] = make_socket_pair();
  server().accept(Channel::make(*loop_, std::move(ours)), Address(),
                  [](const TlsConnection&) { throw std::runtime_error("not today"); });
  ask(std::move(theirs), client_end_);
  loop_.turn();
  EXPECT_EQ(loop_.sink.count("event not handled"), 1U);
  EXPECT_TRUE(client_end_.ended);
  EXPECT_EQ(server().counters().connections, 0U);
}

}  // namespace
}  // namespace snowfox
