#include <snowfox/http/http_request.h>

#include "http_fixture.h"

namespace snowfox {
namespace {

class HttpRequestTest : public HttpTest {
 protected:
  void SetUp() override { connect(); }
};

TEST_F(HttpRequestTest, TellsWhatWasSent) {
  protocol_.router.otherwise([](HttpEvent& event) {
    const HttpRequest& request = event.request();
    EXPECT_EQ(request.method(), "POST");
    EXPECT_EQ(request.target(), "/a/b?c=d&e=f%20g+h&e=2&flag&bad=%zz");
    EXPECT_EQ(request.path(), "/a/b");
    EXPECT_EQ(request.host(), "host:80");
    EXPECT_EQ(request.minor_version(), 1U);
    EXPECT_EQ(request.field("CONTENT-type"), "text/plain");
    EXPECT_EQ(request.field("x-twice"), "1");
    EXPECT_EQ(request.field("x-none"), std::nullopt);
    EXPECT_EQ(request.field("x-empty"), "");
    EXPECT_EQ(request.field("x-bytes"), "\xff\t\x80");
    ASSERT_EQ(request.field_count(), 7U);
    EXPECT_EQ(request.field(4).name, "X-Twice");
    EXPECT_EQ(request.field(4).value, "2");
    EXPECT_EQ(request.query_value("c"), "d");
    EXPECT_EQ(request.query_value("e"), "f g h");
    EXPECT_EQ(request.query_value("flag"), "");
    EXPECT_EQ(request.query_value("bad"), "%zz");
    EXPECT_EQ(request.query_value("x"), std::nullopt);
    EXPECT_EQ(request.body(), "body");
    event.answer({});
  });
  send(
      "POST /a/b?c=d&e=f%20g+h&e=2&flag&bad=%zz HTTP/1.1\r\nHost:host:80\r\nContent-Type: \t text/plain \t \r\n"
      "X-Empty:\r\nX-Twice: 1\r\nX-Twice: 2\r\nX-Bytes: \xff\t\x80\r\nContent-Length: 4\r\n\r\nbody");
  EXPECT_EQ(received(), ok(""));
}

TEST(PercentDecodedTest, ResolvesEscapes) {
  EXPECT_EQ(percent_decoded("a%41%7e%00b"), std::string("aA~\0b", 5));
  EXPECT_EQ(percent_decoded("a+b"), "a+b");
  EXPECT_EQ(percent_decoded("a+b", true), "a b");
  for (const char* bad : {"%", "%4", "%4g", "a%", "%%41"}) EXPECT_EQ(percent_decoded(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace snowfox
