// Requests that come before the ones before them are answered, and how much of that there may be.
#include "http_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class HttpPipelineTest : public HttpTest {
 protected:
  void SetUp() override { connect(); }
};

TEST_F(HttpPipelineTest, AnswersInTheOrderOfTheRequests) {
  send(get("/later") + post("/echo", "b") + get("/later") + post("/echo", "d") + get("/nowhere"));
  ASSERT_EQ(later_.size(), 2U);
  EXPECT_EQ(received(), "");
  later_[1].answer({.body = "c"});
  EXPECT_EQ(received(), "");
  later_[0].answer({.body = "a"});
  EXPECT_EQ(received(),
            ok("a") + ok("b") + ok("c") + ok("d") + error("404 Not Found", "nothing is found at this path"));
  EXPECT_EQ(loop_->audit().findings(), std::vector<std::string>{});
}

TEST_F(HttpPipelineTest, SendsPiecesBeforeTheAnswerIsComplete) {
  send(get("/later") + get("/later"));
  ASSERT_EQ(later_.size(), 2U);
  ASSERT_TRUE(later_[1].begin({.body = "second"}));
  EXPECT_TRUE(later_[1].write(" and"));
  EXPECT_EQ(received(), "");
  ASSERT_TRUE(later_[0].begin({}, 5));
  EXPECT_TRUE(later_[0].write("first"));
  EXPECT_EQ(received(), ok("first"));
  EXPECT_TRUE(later_[0].finish());
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecond\r\n4\r\n and\r\n");
  EXPECT_TRUE(later_[1].write(" more"));
  EXPECT_TRUE(later_[1].finish());
  EXPECT_EQ(received(), "5\r\n more\r\n0\r\n\r\n");
  send(get("/"));
  EXPECT_EQ(received(), ok("home"));
}

// Goal: who sends requests without waiting for answers holds only so many of them.
TEST_F(HttpPipelineTest, ReadsNoFurtherThanItsLimit) {
  protocol_.options.max_pipelined = 3;
  std::string requests;
  for (int i = 0; i < 10; ++i) requests += get("/later");
  send(requests);
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(later_.size(), std::min<std::size_t>(i + 3, 10));
    later_[i].answer({.body = std::to_string(i)});
    EXPECT_EQ(received(), ok(std::to_string(i)));
  }
}

TEST_F(HttpPipelineTest, ForgetsNoRequestOfAClientThatHasLeftOff) {
  protocol_.options.max_pipelined = 2;
  std::string requests;
  for (int i = 0; i < 7; ++i) requests += get("/later");
  send(requests);
  half_close();
  std::string all;
  for (std::size_t i = 0; i < 7; ++i) {
    ASSERT_GT(later_.size(), i);
    later_[i].answer({.body = std::to_string(i)});
    all += received();
  }
  for (int i = 0; i < 7; ++i) EXPECT_THAT(all, HasSubstr("\r\n\r\n" + std::to_string(i)));
  EXPECT_TRUE(ended());
  EXPECT_TRUE(gone());
}

TEST_F(HttpPipelineTest, AnswersForWhoeverForgetsTo) {
  send(get("/later") + get("/later"));
  later_.erase(later_.begin());
  EXPECT_EQ(received(), error("500 Internal Server Error", "the request was not answered"));
  later_.clear();
  EXPECT_EQ(received(), error("500 Internal Server Error", "the request was not answered"));
}

TEST_F(HttpPipelineTest, TakesNoAnswerForAClientThatHasGone) {
  send(get("/later"));
  client_ = {};
  loop_.turn();
  later_[0].answer({.body = "too late"});
  loop_.turn();
  EXPECT_TRUE(gone());
  EXPECT_FALSE(later_[0].open());
}

TEST_F(HttpPipelineTest, AnswersWhatCameBeforeNonsense) {
  send(get("/later") + "nonsense\r\n\r\n");
  EXPECT_EQ(received(), "");
  later_[0].answer({.body = "sense"});
  EXPECT_EQ(received(), ok("sense") + error("400 Bad Request",
                                            "line 1: the method is no token, or no single space follows it", kClose));
  EXPECT_TRUE(ended());
}

TEST_F(HttpPipelineTest, CloseMeansTheLastOfThoseThatCame) {
  send(get("/later") + get("/later"));
  later_[0].close_after();
  later_[0].answer({.body = "a"});
  EXPECT_EQ(received(), ok("a"));
  later_[1].answer({.body = "b"});
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nb");
  EXPECT_TRUE(ended());
}

TEST_F(HttpPipelineTest, ClosesAfterSoManyRequests) {
  protocol_.options.max_requests = 2;
  send(get("/") + get("/") + get("/"));
  EXPECT_EQ(received(), ok("home") + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhome");
  EXPECT_TRUE(ended());
}

TEST_F(HttpPipelineTest, CutsAnAnswerOffThatStaysIncomplete) {
  send(get("/later"));
  later_[0].begin({.body = "half"}, 8);
  EXPECT_FALSE(later_[0].finish());
  loop_.turn();
  EXPECT_TRUE(gone());
  EXPECT_TRUE((received(), ended()));
}

// Goal: a client that does not read its answers gets no further requests read.
TEST_F(HttpPipelineTest, ReadsNothingWhileAnswersAreNotRead) {
  const Watermarks watermarks{.high = 100'000, .low = 10'000};
  connect(&watermarks);
  const std::string large(400'000, 'l');
  protocol_.router.add("GET", "/large", [&](HttpEvent& event) { event.answer({.body = large}); });
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += get("/large");
  send(requests);
  const auto* drain = loop_->drain(connection_.drain);
  EXPECT_LT(drain->pending_bytes(), 2 * large.size());
  std::size_t got = 0;
  while (got < 20 * large.size()) {
    const std::string some = received();
    ASSERT_FALSE(some.empty());
    got += some.size();
  }
}

// Goal: what is answered before its turn counts as much as what waits for the client.
TEST_F(HttpPipelineTest, HoldsNoMoreEarlyAnswersThanItsWatermarks) {
  const Watermarks watermarks{.high = 100'000, .low = 10'000};
  connect(&watermarks);
  const std::string large(60'000, 'l');
  protocol_.router.add("GET", "/large", [&](HttpEvent& event) { event.answer({.body = large}); });
  std::string requests = get("/later");
  for (int i = 0; i < 12; ++i) requests += get("/large");
  send(requests);
  EXPECT_LT(loop_->drain(connection_.drain)->pending_bytes(), 3 * large.size());
  EXPECT_TRUE(loop_->drain(connection_.drain)->congested());
  later_[0].answer({.body = "now"});
  std::size_t got = 0;
  while (got < 12 * large.size()) {
    const std::string some = received();
    ASSERT_FALSE(some.empty()) << got;
    got += some.size();
  }
  EXPECT_EQ(loop_->audit().findings(), std::vector<std::string>{});
}

// --- an answer that ends the connection ---

constexpr std::string_view kKept = " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";

// Goal: what was answered too early to be told that nothing more goes out does not keep the connection.
TEST_F(HttpPipelineTest, ForgetsEarlyAnswersBehindTheLast) {
  send("GET /later" + std::string(kKept) + "GET /" + std::string(kKept) + "GET /later" + std::string(kKept));
  ASSERT_EQ(later_.size(), 2U);
  EXPECT_GT(loop_->drain(connection_.drain)->pending_bytes(), 0U);
  ASSERT_TRUE(later_[0].begin({.body = "one "}));
  EXPECT_FALSE(later_[1].answer({.body = "never"}));
  EXPECT_TRUE(later_[0].write("two"));
  EXPECT_TRUE(later_[0].finish());
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none two");
  EXPECT_TRUE(ended());
  EXPECT_GT(loop_->counters().dropped_bytes, 0U);
  EXPECT_EQ(loop_->audit().findings(), std::vector<std::string>{});
  bool finished = false;
  protocol_.finish([&] { finished = true; });
  client_ = {};
  loop_.turn();
  EXPECT_TRUE(gone());
  EXPECT_TRUE(finished);
  EXPECT_EQ(loop_->audit().findings(), std::vector<std::string>{});
}

TEST_F(HttpPipelineTest, ForgetsEarlyAnswersThoughTheClientHasLeftOff) {
  send("GET /later" + std::string(kKept) + "GET /" + std::string(kKept));
  half_close();
  ASSERT_TRUE(later_.at(0).begin({.body = "one"}));
  EXPECT_TRUE(later_[0].finish());
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none");
  EXPECT_TRUE(ended());
  EXPECT_TRUE(gone());
  EXPECT_EQ(loop_->audit().findings(), std::vector<std::string>{});
}

TEST_F(HttpPipelineTest, ForgetsEarlyAnswersWhenALastPieceSaysThatItIsTheLast) {
  send(get("/later") + get("/"));
  ASSERT_TRUE(later_.at(0).begin({.body = "one"}));
  later_[0].close_after();
  EXPECT_TRUE(later_[0].finish());
  EXPECT_THAT(received(), testing::EndsWith("\r\n3\r\none\r\n0\r\n\r\n"));
  client_ = {};
  loop_.turn();
  EXPECT_TRUE(gone());
}

// Goal: RFC 9112, 9.6: no request is handled that comes after an answer which says that it is the last.
TEST_F(HttpPipelineTest, HandlesNothingAfterAnAnswerThatSaysClose) {
  protocol_.router.add("GET", "/stream", [this](HttpEvent& event) {
    later_.push_back(event.take_responder());
    later_.back().begin({.body = "one "});
  });
  send("GET /stream" + std::string(kKept) + post("/echo", "unheard"));
  send(post("/echo", "unheard"));
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none ");
  loop_.pass(1h);
  EXPECT_TRUE(later_.at(0).write("two"));
  EXPECT_TRUE(later_[0].finish());
  EXPECT_EQ(received(), "two");
  EXPECT_TRUE(ended());
  EXPECT_EQ(seen_, std::vector<std::string>{});
}

TEST_F(HttpPipelineTest, HandlesNoRequestOfWhichThatAnswerSawThePart) {
  const std::string head = "POST /echo HTTP/1.1\r\nHost: x\r\n";
  for (const std::string begun :
       {"POST /ec", "Content-Length: 4\r\n\r\nbo", "Transfer-Encoding: chunked\r\n\r\n4\r\nbo"}) {
    later_.clear();
    connect();
    send("GET /later" + std::string(kKept));
    send(begun.starts_with("POST") ? begun : head + begun);
    ASSERT_TRUE(later_.at(0).begin({.body = "one "}));
    EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none ");
    loop_.pass(1h);
    EXPECT_EQ(protocol_.counters().pending_body_bytes, 0U);
    send("dy\r\n0\r\n\r\n");
    EXPECT_TRUE(later_[0].finish());
    EXPECT_EQ(received(), "");
    EXPECT_TRUE(ended());
    client_ = {};
    loop_.turn();
    EXPECT_TRUE(gone());
  }
  EXPECT_EQ(seen_, std::vector<std::string>{});
}

TEST_F(HttpPipelineTest, HandlesNothingAfterAnAnswerThatCameBeforeItsBody) {
  protocol_.router.add("POST", "/up", [](HttpEvent& event) { event.answer({.status = 403}); }, {.stream = true});
  send(get("/later") + post("/up", "body") + post("/echo", "unheard"));
  later_.at(0).answer({.body = "slow"});
  EXPECT_EQ(received(), ok("slow") + "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(ended());
  EXPECT_EQ(seen_, std::vector<std::string>{});
  client_ = {};
  loop_.turn();
  EXPECT_TRUE(gone());
}

TEST_F(HttpPipelineTest, AwaitsNothingAfterABodyThatIsNotWanted) {
  send(get("/later") + "POST /nowhere HTTP/1.1\r\nHo");
  send("st: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  loop_.pass(1h);
  ASSERT_FALSE(ended());
  EXPECT_EQ(protocol_.counters().refused, 1U);
  later_.at(0).answer({.body = "slow"});
  EXPECT_EQ(received(), ok("slow") + error("404 Not Found", "nothing is found at this path", kClose));
  EXPECT_TRUE(ended());
  client_ = {};
  loop_.turn();
  EXPECT_TRUE(gone());
}

// --- an answer in pieces, and many behind it ---

// Goal: who asks for much behind an answer that comes in pieces does not keep those from coming, and so the connection
// for ever.
TEST_F(HttpPipelineTest, LetsPiecesPassMuchThatIsAnsweredEarly) {
  const std::string large(200'000, 'l');
  protocol_.router.add("GET", "/large", [&](HttpEvent& event) { event.answer({.body = large}); });
  std::string requests = get("/later");
  for (int i = 0; i < 12; ++i) requests += get("/large");
  send(requests);
  ASSERT_TRUE(later_.at(0).congested());
  ASSERT_TRUE(later_[0].begin({.body = "one "}));
  EXPECT_THAT(received(), HasSubstr(kClose));
  EXPECT_FALSE(later_[0].congested());
  EXPECT_TRUE(later_[0].finish());
  EXPECT_EQ(received(), "0\r\n\r\n");
  EXPECT_TRUE(ended());
  client_ = {};
  loop_.turn();
  EXPECT_TRUE(gone());
  EXPECT_EQ(loop_->audit().findings(), std::vector<std::string>{});
}

TEST_F(HttpPipelineTest, LetsPiecesPassMuchThatIsAnsweredLater) {
  const std::string large(200'000, 'l');
  send(get("/later") + get("/later") + get("/later") + get("/later"));
  ASSERT_EQ(later_.size(), 4U);
  ASSERT_TRUE(later_[0].begin({.body = "one"}));
  ASSERT_TRUE(later_[1].begin({.body = "two"}));
  EXPECT_TRUE(later_[2].answer({.body = large}));
  EXPECT_FALSE(later_[3].answer({.body = large}));
  EXPECT_FALSE(later_[1].write("more"));
  EXPECT_THAT(received(), HasSubstr("\r\none\r\n"));
  EXPECT_FALSE(later_[0].congested());
  EXPECT_TRUE(later_[0].finish());
  EXPECT_EQ(received(), "0\r\n\r\n");
  EXPECT_TRUE(ended());
  client_ = {};
  loop_.turn();
  EXPECT_TRUE(gone());
  EXPECT_EQ(loop_->audit().findings(), std::vector<std::string>{});
}

TEST_F(HttpPipelineTest, LetsPiecesPassThatWereEarlyThemselves) {
  const std::string large(600'000, 'l');
  send(get("/later") + get("/later") + get("/later"));
  ASSERT_EQ(later_.size(), 3U);
  ASSERT_TRUE(later_[1].begin({.body = "two"}));
  EXPECT_TRUE(later_[2].answer({.body = large}));
  EXPECT_TRUE(later_[0].answer({.body = "one"}));
  EXPECT_THAT(received(), testing::StartsWith(ok("one")));
  EXPECT_FALSE(later_[1].congested());
  EXPECT_EQ(loop_->drain(connection_.drain)->pending_bytes(), 0U);
  EXPECT_TRUE(later_[1].finish());
  EXPECT_EQ(received(), "0\r\n\r\n");
  EXPECT_TRUE(ended());
  client_ = {};
  loop_.turn();
  EXPECT_TRUE(gone());
  EXPECT_EQ(loop_->audit().findings(), std::vector<std::string>{});
}

}  // namespace
}  // namespace snowfox
