// Against a real server, with and without TLS.
#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "http_client_fixture.h"
#include "nginx.h"

namespace snowfox {
namespace {

using testing::HasSubstr;

class HttpClientNginxTest : public HttpClientTest {
 protected:
  void SetUp() override {
    if (!Nginx::installed()) GTEST_SKIP() << "nginx or openssl is not installed";
    nginx = std::make_unique<Nginx>();
    options.tls.ca_file = nginx->path("ca.pem");
  }
  HttpClientRequest get(const std::string& path) const {
    return {.url = "http://service.example" + path, .unix_socket = nginx->path("plain.sock")};
  }
  HttpClientRequest get_by_tls(const std::string& socket) const {
    return {.url = "https://service.example/", .unix_socket = nginx->path(socket)};
  }
  std::unique_ptr<Nginx> nginx;
};

// Goal: requests one after the other go over one connection, which the server counts, too.
TEST_F(HttpClientNginxTest, UsesOneConnection) {
  for (int i = 1; i <= 20; ++i) {
    EXPECT_EQ(response_to(get("/hello")).body, "hello, request " + std::to_string(i));
  }
  EXPECT_EQ(client().counters().connections_opened, 1U);
  EXPECT_EQ(response_to(get("/refuse")).status, 503);
}

// Goal: a thousand at once are answered, each its own, and leave no descriptor behind.
TEST_F(HttpClientNginxTest, SendsAThousandAtOnce) {
  options.most_per_host = 1000;
  client();
  const std::size_t before = open_descriptors();
  std::vector<Promise<HttpClientResponse>> promises;
  for (int i = 0; i < 1000; ++i) {
    HttpClientRequest request = get("/id");
    request.correlation_id = CorrelationId("request/" + std::to_string(i));
    promises.push_back(client().send(std::move(request)));
  }
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(outcome_of(loop, std::move(promises[static_cast<std::size_t>(i)])).body, "request/" + std::to_string(i));
  }
  EXPECT_LE(client().connections_open(), 1000U);
  EXPECT_EQ(open_descriptors(), before + client().connections_open());
}

// Goal: large bodies come and go whole, compressed if that is asked for.
TEST_F(HttpClientNginxTest, CarriesLargeBodies) {
  const HttpClientResponse plain = response_to(get("/zeros.txt"));
  EXPECT_EQ(plain.body.size(), 3'000'000U);
  HttpClientRequest request = get("/zeros.txt");
  request.decompress = true;
  const HttpClientResponse compressed = response_to(std::move(request));
  EXPECT_EQ(compressed.headers.find("Content-Encoding"), "gzip");
  EXPECT_EQ(compressed.body, plain.body);
  request = get("/hello");
  request.method = "POST";
  request.body = std::string(10'000'000, 'x');
  EXPECT_EQ(response_to(std::move(request)).status, 200);
}

// Goal: a server may answer before it has taken the whole body, and what it says is heard.
TEST_F(HttpClientNginxTest, HearsAnAnswerThatComesEarly) {
  for (const std::size_t bytes : {10'000U, 10'000'000U}) {
    HttpClientRequest request = get("/small");
    request.method = "PUT";
    request.body = std::string(bytes, 'x');
    EXPECT_EQ(response_to(std::move(request)).status, 413);
  }
}

// Goal: a 308 is followed over the same socket.
TEST_F(HttpClientNginxTest, FollowsOverAUnixSocket) {
  HttpClientRequest request = get("/moved");
  request.redirects = HttpClientRedirects::Only308;
  EXPECT_THAT(response_to(std::move(request)).body, HasSubstr("hello"));
}

// Goal: a certificate that is valid, of the right host, and by whom it has to be, is believed; no other.
TEST_F(HttpClientNginxTest, BelievesOnlyGoodCertificates) {
  const HttpClientResponse response = response_to(get_by_tls("good.sock"));
  EXPECT_EQ(response.body, "TLSv1.3 HTTP/1.1");
  EXPECT_GT(response.timings.encrypted, response.timings.connected);
  for (const char* socket : {"expired.sock", "other.sock"}) {
    const HttpClientError error = error_of(get_by_tls(socket));
    EXPECT_EQ(error.code(), HttpClientErrc::TlsFailed) << error.what();
    EXPECT_FALSE(error.may_have_arrived());
  }
  HttpClientOptions system = options;
  system.tls = {};
  HttpClient stranger(loop, system);
  EXPECT_EQ(snowfox::error_of(loop, stranger.send(get_by_tls("good.sock"))).code(), HttpClientErrc::TlsFailed);
  system.tls.verify = false;
  HttpClient believer(loop, system);
  EXPECT_EQ(outcome_of(loop, believer.send(get_by_tls("other.sock"))).status, 200);
  // Where no TLS is spoken there is none.
  EXPECT_EQ(error_of(get_by_tls("plain.sock")).code(), HttpClientErrc::TlsFailed);
}

// Goal: the client shows its own certificate where it has one.
TEST_F(HttpClientNginxTest, ShowsItsCertificate) {
  EXPECT_EQ(response_to(get_by_tls("strict.sock")).status, 400);
  HttpClientOptions known = options;
  known.tls.certificate = nginx->path("client.pem");
  known.tls.key = nginx->path("key.pem");
  HttpClient with_certificate(loop, known);
  EXPECT_EQ(outcome_of(loop, with_certificate.send(get_by_tls("strict.sock"))).body, "CN=tester");
}

// Goal: HTTP/2 where it is wanted: many exchanges share a connection, and dropping one leaves the others alone.
TEST_F(HttpClientNginxTest, SharesAConnectionByHttp2) {
  options.http2 = true;
  EXPECT_EQ(response_to(get_by_tls("good.sock")).http_version, 20);
  std::vector<Promise<HttpClientResponse>> promises;
  for (int i = 0; i < 100; ++i) promises.push_back(client().send(get_by_tls("good.sock")));
  pass(Duration::zero());
  promises.resize(90);
  for (auto& promise : promises) EXPECT_EQ(outcome_of(loop, std::move(promise)).body, "TLSv1.3 HTTP/2.0");
  EXPECT_EQ(client().counters().connections_opened, 1U);
}

// Goal: a server that is not there is told as such.
TEST_F(HttpClientNginxTest, TellsOfAMissingSocket) {
  const HttpClientError error = error_of({.url = "http://x/", .unix_socket = nginx->path("none.sock")});
  EXPECT_EQ(error.code(), HttpClientErrc::CouldNotConnect) << error.what();
}

}  // namespace
}  // namespace snowfox
