// Against those who have spoken TLS for longer: curl, and OpenSSL's own client and server.
#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/http/http_source.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/process_source.h>

#include "tls_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// What a program that was started says.
class Spoken final : public StreamSource {
 public:
  Spoken(LoopManager& loop, Descriptor descriptor, std::string& heard)
      : StreamSource(loop, Channel::make(loop, std::move(descriptor))), heard_(heard) {}

 private:
  EventRef parse_frame(ReceiveBuffer& received) override {
    heard_.append(reinterpret_cast<const char*>(received.data().data()), received.data().size());
    received.consume(received.data().size());
    return make_event([] {});
  }
  EventRef closed(std::error_code) override {
    return make_event([] {});
  }
  std::string& heard_;
};

class TlsPeersTest : public testing::Test {
 protected:
  TlsPeersTest() {
    protocol_.router.add("GET", "/", [this](HttpEvent& event) {
      const auto session = tls_.session(event.drain());
      event.answer(
          {.content_type = "text/plain", .body = session ? session->version + " " + session->server_name : "?"});
    });
    protocol_.router.add("GET", "/large", [](HttpEvent& event) { event.answer({.body = std::string(3U << 20, 'x')}); });
    protocol_.router.add("POST", "/size", [](HttpEvent& event) {
      event.answer({.body = std::to_string(event.request().body().size())});
    });
    protocol_.options.max_body_bytes = 8U << 20;
  }

  std::string port() const { return std::to_string(listener_.local_address().port()); }
  /// Runs a program to its end; what it wrote.
  std::string run(std::vector<std::string> arguments, const std::string& input = "") {
    std::string heard;
    bool over = false;
    ProcessSource process(loop_,
                          {.arguments = std::move(arguments),
                           .input = ProcessStream::pipe(),
                           .output = ProcessStream::pipe(),
                           .error = ProcessStream::same_as_output()},
                          [&](const ProcessExit&) { over = true; });
    auto& spoken = loop_.add(std::make_unique<Spoken>(loop_, process.take_output(), heard));
    const SourceId spoken_id = spoken.id();
    Descriptor to = process.take_input();
    if (input.empty()) {
      to.reset();
    } else {
      EXPECT_EQ(::write(to.get(), input.data(), input.size()), static_cast<ssize_t>(input.size()));
    }
    EXPECT_TRUE(run_until(loop_, [&] { return over && loop_.source(spoken_id) == nullptr; }));
    return heard;
  }
  std::string curl(std::vector<std::string> more, const std::string& path = "/") {
    std::vector<std::string> arguments{
        "curl",      "--silent", "--show-error", "--max-time",      "20",
        "--noproxy", "*",        "--cacert",     authority_.file(), "https://localhost:" + port() + path};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(std::move(arguments));
  }

  RecordingSink sink_;
  Log log_{sink_, LogLevel::Debug};
  LoopManager loop_{std::make_unique<UvPoller>(), Io::system(), log_};
  TestAuthority authority_;
  HttpProtocol protocol_;
  TlsServerContext tls_{loop_, [this] {
                          TlsServerOptions options;
                          options.certificate = authority_.issue({.name = "localhost"});
                          options.protocols = {"http/1.1"};
                          options.require_close_notify = false;
                          return options;
                        }()};
  ListenerSource listener_{loop_, Address::parse("tcp:127.0.0.1:0"), {}, tls_.secured([this](TlsConnection client) {
                             serve_http(loop_, client.channel, protocol_);
                           })};
};

TEST_F(TlsPeersTest, ServesCurl) {
  EXPECT_EQ(curl({}), "TLSv1.3 localhost");
  EXPECT_EQ(curl({"--tls-max", "1.2"}), "TLSv1.2 localhost");
  EXPECT_EQ(curl({}, "/large").size(), 3U << 20);
  const std::string body = authority_.directory() / "body";
  write_private(body, std::string(5U << 20, 'b'));
  EXPECT_EQ(curl({"--data-binary", "@" + body}, "/size"), std::to_string(5U << 20));
  EXPECT_EQ(tls_.counters().completed, 4U);
}

// Goal: a listener counts its connections from the first byte to the last, with TLS as without.
TEST_F(TlsPeersTest, AreCountedByTheListener) {
  const std::size_t before = listener_.connections();
  EXPECT_EQ(before, 0U);
  Descriptor client = connect_to(listener_.local_address());
  ASSERT_TRUE(run_until(loop_, [&] { return listener_.connections() == 1; }));
  EXPECT_EQ(tls_.counters().handshakes, 1U);
  client.reset();
  ASSERT_TRUE(run_until(loop_, [&] { return tls_.counters().failed == 1; }));
  loop_.run_for(Duration::zero());
  EXPECT_EQ(listener_.connections(), 0U);
  std::size_t seen = 0;
  protocol_.router.add("GET", "/count", [&](HttpEvent& event) {
    seen = listener_.connections();
    event.answer({.body = "x"});
  });
  EXPECT_EQ(curl({}, "/count"), "x");
  EXPECT_EQ(seen, 1U);
  loop_.run_for(Duration::zero());
  EXPECT_EQ(listener_.connections(), 0U);
}

TEST_F(TlsPeersTest, IsRefusedByCurlWithoutTheAuthority) {
  EXPECT_THAT(run({"curl", "--silent", "--show-error", "--noproxy", "*", "https://localhost:" + port() + "/"}),
              HasSubstr("certificate"));
}

TEST_F(TlsPeersTest, TellsCurlThatItIsNoPlainHttp) {
  EXPECT_THAT(run({"curl", "--silent", "--show-error", "--noproxy", "*", "http://localhost:" + port() + "/"}),
              HasSubstr("HTTPS"));
}

TEST_F(TlsPeersTest, RefusesCurlWithAnOldVersion) {
  EXPECT_THAT(curl({"--tls-max", "1.1", "--tlsv1.0", "--ciphers", "ALL:@SECLEVEL=0"}),
              HasSubstr("alert protocol version"));
}

TEST_F(TlsPeersTest, ServesOpensslsClient) {
  const std::string said = run({"openssl", "s_client", "-connect", "127.0.0.1:" + port(), "-servername", "localhost",
                                "-CAfile", authority_.file(), "-verify_return_error", "-alpn", "http/1.1", "-quiet"},
                               "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(said, HasSubstr("HTTP/1.1 200 OK"));
  EXPECT_THAT(said, HasSubstr("TLSv1.3 localhost"));
}

// Goal: who comes again with a ticket is spared most of the handshake.
TEST_F(TlsPeersTest, ResumesByATicket) {
  const std::string ticket = authority_.directory() / "ticket";
  const std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  const auto ask = [&](const std::string& option) {
    return run({"openssl", "s_client", "-connect", "127.0.0.1:" + port(), "-CAfile", authority_.file(), option, ticket,
                "-ign_eof"},
               request);
  };
  EXPECT_THAT(ask("-sess_out"), HasSubstr("HTTP/1.1 200 OK"));
  EXPECT_THAT(ask("-sess_in"), HasSubstr("Reused, TLSv1.3"));
  EXPECT_EQ(tls_.counters().resumed, 1U);
  tls_.reload();
  EXPECT_THAT(ask("-sess_in"), HasSubstr("New, TLSv1.3")) << "a ticket of before a reload is not taken";
}

// Goal: our client asks OpenSSL's server, which reports what it was asked.
TEST_F(TlsPeersTest, AsksOpensslsServer) {
  const TlsCertificateFiles files = authority_.issue({.name = "s-server", .alternative = "DNS:server.example"});
  std::string heard;
  ProcessSource process(loop_,
                        {.arguments = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", files.chain, "-key",
                                       files.key, "-www", "-naccept", "1"},
                         .output = ProcessStream::pipe(),
                         .error = ProcessStream::same_as_output()},
                        [](const ProcessExit&) {});
  loop_.add(std::make_unique<Spoken>(loop_, process.take_output(), heard));
  // It says "ACCEPT 127.0.0.1:PORT".
  ASSERT_TRUE(run_until(loop_, [&] {
    const std::size_t at = heard.find("ACCEPT ");
    return at != std::string::npos && heard.find('\n', at) != std::string::npos;
  })) << heard;
  const std::size_t at = heard.find("ACCEPT ") + 7;
  const std::string address = heard.substr(at, heard.find('\n', at) - at);

  TlsClientContext tls(loop_, [this] {
    TlsClientOptions options;
    options.authorities_file = authority_.file();
    return options;
  }());
  TlsEnd end;
  ConnectorSource connector(
      loop_, Address::parse("tcp:" + address), 10s, [&](std::error_code error, const ChannelRef& channel) {
        ASSERT_FALSE(error) << error.message();
        tls.connect(channel, "server.example", [&](const TlsFailure& failure, TlsConnection connection) {
          end.failure = failure;
          if (failure.code) return;
          end.session = connection.session;
          StreamDrain& drain = loop_.add(std::make_unique<StreamDrain>(loop_, connection.channel));
          loop_.add(std::make_unique<Bytes>(loop_, connection.channel, end));
          drain.enqueue("GET / HTTP/1.0\r\n\r\n");
        });
      });
  ASSERT_TRUE(run_until(loop_, [&] { return end.ended || end.failure.code; }));
  ASSERT_TRUE(end.session) << end.failure.code.message() << end.failure.detail;
  EXPECT_THAT(end.received, HasSubstr("HTTP/1.0 200 ok"));
  EXPECT_EQ(end.session->peer_certificate->subject, "CN=s-server");
}

}  // namespace
}  // namespace snowfox
