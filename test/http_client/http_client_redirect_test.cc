// Where a server sends the client, and where it goes.
#include <gmock/gmock.h>

#include <string>
#include <utility>

#include "hostile_server.h"
#include "http_client_fixture.h"

namespace snowfox {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// Answers `/STATUS/LOCATION` with that, and all else with the request itself.
void redirect(HostileServer::Connection& connection) {
  for (std::string request; !(request = connection.read_request()).empty();) {
    const std::size_t path = request.find(" /") + 2;
    const std::string status = request.substr(path, 3);
    if (status.front() != '3') {
      connection.write(response_with(request));
      continue;
    }
    const std::string location = request.substr(path + 4, request.find(" HTTP/1.1") - path - 4);
    connection.write(response_with("elsewhere", status + " Elsewhere", "Location: " + location + "\r\n"));
  }
}

class HttpClientRedirectTest : public HttpClientTest {
 protected:
  HostileServer server{redirect};
  HostileServer other{redirect};
  static constexpr auto kFollow = HttpClientRedirects::Follow;
};

// Goal: none is followed unless asked for, and with Only308 that one alone.
TEST_F(HttpClientRedirectTest, FollowsOnlyWhatIsAskedFor) {
  for (const std::string status : {"301", "302", "303", "307", "308"}) {
    const std::string url = server.url("/" + status + "//there");
    EXPECT_EQ(std::to_string(response_to({.url = url}).status), status);
    const HttpClientResponse response = response_to({.url = url, .redirects = HttpClientRedirects::Only308});
    EXPECT_EQ(response.status, status == "308" ? 200 : std::stoi(status));
    EXPECT_EQ(response.redirects, status == "308" ? 1U : 0U);
    EXPECT_EQ(response_to({.url = url, .redirects = kFollow}).url, server.url("/there"));
  }
}

// Goal: method and body go along, or become GET, as the status says.
TEST_F(HttpClientRedirectTest, KeepsOrChangesTheMethod) {
  const auto arrived = [&](const std::string& status, const std::string& method) {
    return response_to({.method = method,
                        .url = server.url("/" + status + "//there"),
                        .headers = {{"Content-Type", "text/plain"}},
                        .body = "body",
                        .redirects = kFollow})
        .body;
  };
  for (const char* status : {"307", "308"}) {
    EXPECT_THAT(arrived(status, "POST"), AllOf(testing::StartsWith("POST /there "), HasSubstr("\r\n\r\nbody")));
  }
  EXPECT_THAT(arrived("302", "PUT"), testing::StartsWith("PUT "));
  for (const char* status : {"301", "302", "303"}) {
    EXPECT_THAT(arrived(status, "POST"),
                AllOf(testing::StartsWith("GET /there "), Not(HasSubstr("body")), Not(HasSubstr("Content-"))));
  }
}

// Goal: what is meant for one server is not shown to another.
TEST_F(HttpClientRedirectTest, ShowsCredentialsToNoOtherServer) {
  const HttpClientRequest request{.headers = {{"Authorization", "Bearer secret"},
                                              {"Cookie", "secret"},
                                              {"X-Api-Key", "secret"},
                                              {"X-Auth-Token", "secret"},
                                              {"PRIVATE-TOKEN", "secret"},
                                              {"Referer", "http://127.0.0.1/secret"},
                                              {"accept-language", "en"},
                                              {"If-None-Match", "7"},
                                              {"User-Agent", "Reynard/1"},
                                              {"X-Mine", "secret"}},
                                  .redirects = kFollow};
  HttpClientRequest same = request;
  same.url = server.url("/308//there");
  EXPECT_THAT(response_to(same).body, AllOf(HasSubstr("Bearer secret"), HasSubstr("X-Mine: secret")));
  HttpClientRequest away = request;
  away.url = server.url("/308/" + other.url("/there"));
  EXPECT_THAT(response_to(away).body,
              AllOf(Not(HasSubstr("secret")), HasSubstr("accept-language: en\r\n"), HasSubstr("If-None-Match: 7\r\n"),
                    HasSubstr("User-Agent: Reynard/1\r\n"), HasSubstr("X-Correlation-Id: ")));
  EXPECT_EQ(other.connections(), 1);
}

// Goal: files, other protocols and credentials in URLs are no place to go to, nor is it endless.
TEST_F(HttpClientRedirectTest, RefusesOtherPlaces) {
  for (const char* place : {"file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "http://a:b@127.0.0.1/"}) {
    const HttpClientError error = error_of({.url = server.url(std::string("/308/") + place), .redirects = kFollow});
    EXPECT_EQ(error.code(), HttpClientErrc::RedirectRefused) << place << ": " << error.what();
  }
  HostileServer endless([](auto& connection) {
    while (!connection.read_request().empty()) connection.write(response_with("", "302 Found", "Location: /\r\n"));
  });
  EXPECT_EQ(error_of({.url = endless.url(), .redirects = kFollow}).code(), HttpClientErrc::RedirectRefused);
  EXPECT_EQ(client().counters().redirected, 5U);
}

// Goal: the body of a redirect is not the response's, and one without end is not read to its end.
TEST_F(HttpClientRedirectTest, PassesOverTheBodiesOfRedirects) {
  HostileServer server_with_much([](auto& connection) {
    const std::string request = connection.read_request();
    if (request.starts_with("GET /there")) {
      connection.write(response_with("there"));
      return;
    }
    connection.write("HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n");
    while (connection.write(std::string(10'000, 'x'))) {
    }
  });
  const HttpClientResponse response = response_to({.url = server_with_much.url(), .redirects = kFollow});
  EXPECT_EQ(response.body, "there");
  EXPECT_EQ(response.redirects, 1U);
}

}  // namespace
}  // namespace snowfox
