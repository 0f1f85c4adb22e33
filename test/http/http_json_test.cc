#include <snowfox/http/http_json.h>

#include "http_fixture.h"

namespace snowfox {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string why(std::string_view text, const JsonLimits& limits = {}) {
  try {
    parse_json(text, limits);
    return "it is some";
  } catch (const JsonError& error) {
    return error.what();
  }
}

TEST(JsonTest, SaysWhereATextIsNoJson) {
  EXPECT_EQ(parse_json(R"({"a":[1,2]})")["a"][1], 2);
  EXPECT_THAT(why("{\"a\":}"), StartsWith("invalid JSON at byte 6: "));
  EXPECT_THAT(why(""), StartsWith("invalid JSON at byte 1: "));
  EXPECT_THAT(why("[1] [2]"), StartsWith("invalid JSON at byte 5: "));
  EXPECT_THAT(why("[NaN]"), StartsWith("invalid JSON at byte "));
  EXPECT_THAT(why("\"\xff\""), StartsWith("invalid JSON at byte 2: "));
  EXPECT_THAT(why("1e999"), StartsWith("invalid JSON at byte "));
}

TEST(JsonTest, HasLimits) {
  EXPECT_EQ(why("[[[1]]]", {.max_depth = 3}), "it is some");
  EXPECT_EQ(why("[[[[1]]]]", {.max_depth = 3}), "invalid JSON at byte 4: more than 3 levels deep");
  EXPECT_EQ(why("[\"[[[[\\\"[[[\"]", {.max_depth = 3}), "it is some");
  EXPECT_EQ(why("[12345]", {.max_bytes = 6}), "the JSON is longer than 6 bytes");
  EXPECT_THAT(why(std::string(10'000'000, '[')), HasSubstr("more than 64 levels deep"));
}

class HttpJsonTest : public HttpTest {
 protected:
  void SetUp() override {
    connect();
    protocol_.router.add("POST", "/json", [](HttpEvent& event) {
      if (const auto body = json_body(event, {.max_bytes = 100})) {
        answer_json(event, 201, {{"got", *body}, {"bad", "\xff"}});
      }
    });
  }
};

TEST_F(HttpJsonTest, ReadsAndAnswers) {
  send(post("/json", "[1, 2]"));
  const std::string body = "{\"bad\":\"\xef\xbf\xbd\",\"got\":[1,2]}";
  EXPECT_EQ(received(), "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: " +
                            std::to_string(body.size()) + "\r\n\r\n" + body);
}

TEST_F(HttpJsonTest, AnswersWhatIsWrong) {
  send(post("/json", "[1, 2"));
  EXPECT_THAT(received(),
              testing::AllOf(StartsWith("HTTP/1.1 400 Bad Request"), HasSubstr("invalid JSON at byte 6: ")));
  send(post("/json", "[" + std::string(100, ' ') + "]"));
  EXPECT_THAT(received(), StartsWith("HTTP/1.1 413 Content Too Large"));
}

}  // namespace
}  // namespace snowfox
