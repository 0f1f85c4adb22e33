// What a client gets that is too large, too many or too slow.
#include "http_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;

class HttpLimitsTest : public HttpTest {
 protected:
  void SetUp() override { connect(); }
};

TEST_F(HttpLimitsTest, RefusesLongLines) {
  protocol_.options.max_request_line_bytes = 50;
  protocol_.options.max_field_bytes = 40;
  const std::string longest = "/" + std::string(50 - std::string("GET / HTTP/1.1").size(), 'a');
  send(get(longest));
  EXPECT_EQ(received(), error("404 Not Found", "nothing is found at this path"));
  send(get("/", "Field: " + std::string(33, 'a') + "\r\n"));
  EXPECT_EQ(received(), ok("home"));
  send(get("/", "Field: " + std::string(34, 'a') + "\r\n"));
  EXPECT_EQ(received(), error("431 Request Header Fields Too Large", "line 3 is longer than 40 bytes", kClose));
  connect();
  send(get(longest + "a"));
  EXPECT_EQ(received(), error("414 URI Too Long", "line 1 is longer than 50 bytes", kClose));
  // A line is too long before it has ended.
  connect();
  send("GET /" + std::string(100, 'a'));
  EXPECT_EQ(received(), error("414 URI Too Long", "line 1 is longer than 50 bytes", kClose));
}

TEST_F(HttpLimitsTest, RefusesLargeHeads) {
  protocol_.options.max_head_bytes = 200;
  protocol_.options.max_fields = 4;
  send(get("/", "a: b\r\nc: d\r\ne: f\r\n"));
  EXPECT_EQ(received(), ok("home"));
  send(get("/", "a: b\r\nc: d\r\ne: f\r\ng: h\r\n"));
  EXPECT_EQ(received(), error("431 Request Header Fields Too Large", "more than 4 fields", kClose));
  connect();
  send(get("/", "a: " + std::string(100, 'a') + "\r\nb: " + std::string(100, 'b') + "\r\n"));
  EXPECT_EQ(received(), error("431 Request Header Fields Too Large", "the head is longer than 200 bytes", kClose));
}

TEST_F(HttpLimitsTest, RefusesLongBodies) {
  protocol_.options.max_body_bytes = 10;
  protocol_.router.add("POST", "/more", [](HttpEvent& event) { event.answer({}); }, {.max_body_bytes = 20});
  send(post("/echo", "1234567890"));
  EXPECT_EQ(received(), ok("1234567890"));
  send(post("/more", "12345678901234567890"));
  EXPECT_EQ(received(), ok(""));
  send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n");
  EXPECT_EQ(received(), error("413 Content Too Large", "the body is longer than 10 bytes", kClose));
  EXPECT_TRUE(ended());
  connect();
  send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n5\r\n");
  EXPECT_EQ(received(), error("413 Content Too Large", "the body is longer than 10 bytes", kClose));
}

TEST_F(HttpLimitsTest, RefusesLongLinesBetweenChunks) {
  protocol_.options.max_head_bytes = 300;
  const std::string head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  send(head + "1;" + std::string(254, 'e') + "\r\nx\r\n0\r\n\r\n");
  EXPECT_EQ(received(), ok("x"));
  send(head + "1;" + std::string(257, 'e') + "\r\nx\r\n0\r\n\r\n");
  EXPECT_EQ(
      received(),
      error("400 Bad Request",
            "the body is not chunked as it should be, after 0 bytes: chunk extensions longer than 256 bytes", kClose));
  connect();
  send(head + "0\r\nTrailer: " + std::string(300, 't'));
  EXPECT_EQ(received(), error("431 Request Header Fields Too Large", "the trailer is too long", kClose));
}

// --- time ---

TEST_F(HttpLimitsTest, ClosesAConnectionThatSaysNothing) {
  loop_.pass(9s);
  EXPECT_FALSE(ended());
  loop_.pass(2s);
  EXPECT_EQ(received(), "");
  EXPECT_TRUE(ended());
}

TEST_F(HttpLimitsTest, ClosesAnIdleConnection) {
  send(get("/"));
  EXPECT_EQ(received(), ok("home"));
  loop_.pass(74s);
  EXPECT_FALSE(ended());
  send(get("/"));
  EXPECT_EQ(received(), ok("home"));
  loop_.pass(74s);
  EXPECT_FALSE(ended());
  loop_.pass(2s);
  EXPECT_EQ(received(), "");
  EXPECT_TRUE(ended());
}

TEST_F(HttpLimitsTest, WaitsForAnswersHoweverLongTheyTake) {
  send(get("/later"));
  loop_.pass(1h);
  ASSERT_FALSE(ended());
  later_[0].answer({.body = "done"});
  EXPECT_EQ(received(), ok("done"));
  loop_.pass(74s);
  EXPECT_FALSE(ended());
  loop_.pass(150s);
  EXPECT_TRUE(ended());
}

// Goal: slowloris. A byte now and then does not keep a connection.
TEST_F(HttpLimitsTest, RefusesHeadsThatTrickle) {
  send(get("/"));
  received();
  loop_.pass(20s);
  send("GET / HTTP/1.1\r\n");
  for (int i = 0; i < 9; ++i) {
    loop_.pass(1s);
    send("a: b\r\n");
    EXPECT_EQ(received(), "");
  }
  loop_.pass(2s);
  EXPECT_EQ(received(), error("408 Request Timeout", "the head did not come within 10 s", kClose));
  EXPECT_TRUE(ended());
}

TEST_F(HttpLimitsTest, RefusesBodiesThatTrickle) {
  send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
  for (int i = 0; i < 30; ++i) {
    loop_.pass(1s);
    send(std::string(600, 'b'));
    ASSERT_EQ(received(), "");
  }
  for (int i = 0; i < 25; ++i) {
    loop_.pass(1s);
    send(std::string(400, 'b'));
  }
  loop_.pass(15s);
  EXPECT_EQ(received(), error("408 Request Timeout", "the body came slower than 512 bytes a second", kClose));
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(HttpLimitsTest, CountsNoTimeAgainstAClientThatIsNotListenedTo) {
  send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo");
  loop_->source(connection_.source)->pause();
  loop_.pass(10min);
  EXPECT_FALSE(ended());
  loop_->source(connection_.source)->resume();
  send("dy");
  EXPECT_EQ(received(), ok("body"));
}

// Goal: who sends too much still reads why it was refused.
TEST_F(HttpLimitsTest, LetsTheClientReadItsErrorWhileItSends) {
  send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n");
  for (int i = 0; i < 10; ++i) {
    EXPECT_GT(send_some(client_.get(), std::string(100'000, 'b')), 0U) << i;
    loop_.turn();
  }
  EXPECT_THAT(received(), HasSubstr("413 Content Too Large"));
  EXPECT_TRUE(ended());
  loop_.pass(31s);
  EXPECT_TRUE(gone());
}

}  // namespace
}  // namespace snowfox
