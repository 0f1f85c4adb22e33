#include <snowfox/http/http_router.h>

#include "http_fixture.h"

namespace snowfox {
namespace {

class HttpRouterTest : public HttpTest {
 protected:
  void SetUp() override { connect(); }
  /// A route that answers its pattern and what `{a}` and `{b}` stand for.
  void add(std::string_view method, const std::string& pattern, const HttpRouteOptions& options = {}) {
    protocol_.router.add(
        method, pattern,
        [pattern](HttpEvent& event) {
          std::string body = pattern;
          for (const char* name : {"a", "b"}) {
            if (const auto value = event.request().parameter(name))
              body += " " + std::string(name) + "=" + std::string(*value);
          }
          event.answer({.body = body});
        },
        options);
  }
  std::string asked(std::string_view target, std::string_view method = "GET") {
    send(std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string answer = received();
    const std::string status = answer.substr(9, 3);
    return status == "200" ? answer.substr(answer.find("\r\n\r\n") + 4) : status;
  }
};

TEST_F(HttpRouterTest, FindsByPathAndParameters) {
  add("GET", "/api/{a}/store");
  add("GET", "/api/fixed/store");
  add("GET", "/api/{a:digits}/things/{b}");
  add("GET", "/files/{b*}");
  EXPECT_EQ(asked("/api/42/store"), "/api/{a}/store a=42");
  EXPECT_EQ(asked("/api/42/store?query=/x"), "/api/{a}/store a=42");
  EXPECT_EQ(asked("/api/fixed/store"), "/api/fixed/store");
  EXPECT_EQ(asked("/api/42/things/x"), "/api/{a:digits}/things/{b} a=42 b=x");
  EXPECT_EQ(asked("/api/4x/things/x"), "404");
  EXPECT_EQ(asked("/api//store"), "404");
  EXPECT_EQ(asked("/api/./store"), "404");
  EXPECT_EQ(asked("/api/%2e%2e/store"), "404");
  EXPECT_EQ(asked("/api/42/store/"), "404");
  EXPECT_EQ(asked("/api/42"), "404");
  EXPECT_EQ(asked("/files/"), "/files/{b*} b=");
  EXPECT_EQ(asked("/files/a//b%2fc/"), "/files/{b*} b=a//b%2fc/");
  EXPECT_EQ(asked("/files"), "404");
}

TEST_F(HttpRouterTest, DecodesEachSegmentByItself) {
  add("GET", "/api/{a}");
  add("GET", "/caf\xc3\xa9");
  EXPECT_EQ(asked("/api/a%2Fb+c%20d"), "/api/{a} a=a/b+c d");
  EXPECT_EQ(asked("/%61pi/x"), "/api/{a} a=x");
  EXPECT_EQ(asked("/caf%C3%A9"), "/caf\xc3\xa9");
  EXPECT_EQ(asked("/api/%4"), "400");
  EXPECT_EQ(asked("/api/%zz"), "400");
}

// Goal: whoever guards a path guards it however it is spelt, and whichever route was added first.
TEST_F(HttpRouterTest, PrefersAPathWithoutParametersHoweverItIsSpelt) {
  add("GET", "/{a}");
  add("GET", "/admin");
  add("GET", "/{a}/{b}");
  add("GET", "/admin/users", {.any_trailing_slashes = true});
  add("GET", "/files/{b*}");
  add("GET", "/files/secret/", {.any_trailing_slashes = true});
  EXPECT_EQ(asked("/admin"), "/admin");
  EXPECT_EQ(asked("/%61dmin"), "/admin");
  EXPECT_EQ(asked("/%61%64%6D%69%6e"), "/admin");
  EXPECT_EQ(asked("/admin/users"), "/admin/users");
  EXPECT_EQ(asked("/admin/%75sers"), "/admin/users");
  EXPECT_EQ(asked("/admin/users//"), "/admin/users");
  EXPECT_EQ(asked("/files/secret"), "/files/secret/");
  EXPECT_EQ(asked("/files/secret//"), "/files/secret/");
  EXPECT_EQ(asked("/files/%73ecret/"), "/files/secret/");
  EXPECT_EQ(asked("/%61dmins"), "/{a} a=admins");
  EXPECT_EQ(asked("/admin/user"), "/{a}/{b} a=admin b=user");
  EXPECT_EQ(asked("/files/secret/more"), "/files/{b*} b=secret/more");
}

TEST_F(HttpRouterTest, IgnoresTrailingSlashesWhereToldTo) {
  add("GET", "/api/{a}/store", {.any_trailing_slashes = true});
  EXPECT_EQ(asked("/api/1/store"), "/api/{a}/store a=1");
  EXPECT_EQ(asked("/api/1/store/"), "/api/{a}/store a=1");
  EXPECT_EQ(asked("/api/1/store////"), "/api/{a}/store a=1");
  EXPECT_EQ(asked("/api/1//store"), "404");
}

TEST_F(HttpRouterTest, SaysWhichMethodsThereAre) {
  add("GET", "/thing");
  add("PUT", "/thing");
  add("DELETE", "/{a}");
  EXPECT_EQ(asked("/thing", "PUT"), "/thing");
  EXPECT_EQ(asked("/thing", "DELETE"), "/{a} a=thing");
  send("PATCH /thing HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(received(),
            error("405 Method Not Allowed", "this method is not for this path", "Allow: GET, HEAD, PUT, DELETE\r\n"));
  send("OPTIONS /thing HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(received(), "HTTP/1.1 204 No Content\r\nAllow: GET, HEAD, PUT, DELETE, OPTIONS\r\n\r\n");
  EXPECT_EQ(asked("/thing", "get"), "405");
}

TEST_F(HttpRouterTest, GivesTheRestToWhoeverTakesIt) {
  add("GET", "/thing");
  protocol_.router.otherwise([](HttpEvent& event) { event.answer({.body = event.request().target()}); });
  EXPECT_EQ(asked("/thing"), "/thing");
  EXPECT_EQ(asked("/other?a"), "/other?a");
  EXPECT_EQ(asked("/thing", "WHATEVER"), "/thing");
}

TEST_F(HttpRouterTest, TakesNoPatternThatIsNone) {
  add("GET", "/twice");
  for (const char* bad :
       {"", "api", "/{", "/{}", "/{a", "/a{b}", "/{a:letters}", "/{a*}/b", "/{a}{b}", "/a?b", "/%41", "/twice"}) {
    EXPECT_THROW(add("GET", bad), std::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace snowfox
