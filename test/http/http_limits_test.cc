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

TEST_F(HttpLimitsTest, BoundsTheBodiesOfAllConnectionsTogether) {
  protocol_.options.max_pending_body_bytes = 1000;
  const std::string whole = post("/echo", std::string(800, 'a'));
  const std::string busy = error("503 Service Unavailable", "more bodies are on their way than there is room for",
                                 "Retry-After: 1\r\n" + std::string(kClose));
  send(whole.substr(0, 600));
  const Descriptor first = std::move(client_);
  EXPECT_GE(protocol_.counters().pending_body_bytes, 500);
  connect();
  send(whole.substr(0, 600));
  EXPECT_EQ(received(), busy);
  EXPECT_TRUE(ended());
  connect();
  send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n" + std::string(499, 'b'));
  EXPECT_EQ(received(), busy);
  // What comes at once is not kept; and there is room again when one has all, or has gone.
  connect();
  send(whole);
  EXPECT_EQ(received(), ok(std::string(800, 'a')));
  client_ = {};
  send_some(first.get(), whole.substr(600));
  loop_.turn();
  EXPECT_EQ(undated(receive_some(first.get())), ok(std::string(800, 'a')));
  EXPECT_EQ(protocol_.counters().pending_body_bytes, 0);
  connect();
  send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n" + std::string(499, 'b'));
  EXPECT_EQ(protocol_.counters().pending_body_bytes, 499);
  client_ = {};
  loop_.turn();
  EXPECT_EQ(protocol_.counters().pending_body_bytes, 0);
}

TEST_F(HttpLimitsTest, MayGoWhileABodyIsOnItsWay) {
  auto protocol = std::make_unique<HttpProtocol>();
  protocol->router.add("POST", "/", [](HttpEvent& event) { event.answer({}); });
  auto [ours, theirs] = make_socket_pair();
  serve_http(*loop_, Channel::make(*loop_, std::move(ours)), *protocol);
  send_some(theirs.get(), post("/", std::string(800, 'a')).substr(0, 600));
  loop_.turn();
  EXPECT_GT(protocol->counters().pending_body_bytes, 0);
  protocol.reset();
  loop_.turn();
  EXPECT_TRUE(at_end(theirs.get()));
}

TEST_F(HttpLimitsTest, AnswersWhoIsDeniedBeforeTheBodyIsThere) {
  protocol_.router.add("POST", "/guarded", [](HttpEvent& event) { event.answer({.body = event.request().body()}); },
                       {.deny = [](const HttpRequest& request) -> std::optional<HttpDenial> {
                         if (request.field("Key") == "right") return std::nullopt;
                         return HttpDenial{.status = 401, .content_type = "text/plain", .body = "no"};
                       }});
  const std::string no = "HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n";
  send(post("/guarded", "short"));
  EXPECT_EQ(received(), no + "\r\nno");
  send(post("/guarded", "short", "Key: right\r\n"));
  EXPECT_EQ(received(), ok("short"));
  // Of a long one nothing is awaited, nor is it asked for.
  send("POST /guarded HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(received(), no + std::string(kClose) + "\r\nno");
  EXPECT_TRUE(ended());
  connect();
  send("POST /guarded HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho");
  EXPECT_EQ(received(), no + std::string(kClose) + "\r\nno");
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
