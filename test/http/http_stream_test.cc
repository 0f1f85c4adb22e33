// Bodies in pieces, both ways.
#include <optional>
#include <stdexcept>

#include <snowfox/core/error.h>

#include "http_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// What was told of a body.
struct Told {
  std::string body;
  std::size_t pieces = 0;
  bool ended = false;
  std::error_code failed;
  std::size_t throw_at = SIZE_MAX;  // pieces
};

class Receiver final : public HttpBodyReceiver {
 public:
  Receiver(Told& told, HttpResponder responder, bool echo)
      : told_(told), responder_(std::move(responder)), echo_(echo) {
    if (echo_) responder_.begin({});
  }
  void on_piece(std::string_view piece) override {
    if (told_.pieces == told_.throw_at) throw std::runtime_error("no more");
    told_.body += piece;
    ++told_.pieces;
    if (echo_) responder_.write(piece);
  }
  void on_end() override {
    told_.ended = true;
    if (echo_) {
      responder_.finish();
    } else {
      responder_.answer({.body = std::to_string(told_.body.size())});
    }
  }
  void on_failed(std::error_code error) override { told_.failed = error; }

 private:
  Told& told_;
  HttpResponder responder_;
  bool echo_;
};

class HttpStreamTest : public HttpTest {
 protected:
  HttpStreamTest() {
    const HttpRouteOptions stream{.max_body_bytes = 1U << 30, .max_decoded_bytes = 1U << 30, .stream = true};
    protocol_.router.add(
        "PUT", "/count",
        [this](HttpEvent& event) {
          event.receive_body(std::make_unique<Receiver>(told_, event.take_responder(), false));
        },
        stream);
    protocol_.router.add(
        "PUT", "/echo",
        [this](HttpEvent& event) {
          event.receive_body(std::make_unique<Receiver>(told_, event.take_responder(), true));
        },
        stream);
    protocol_.router.add(
        "PUT", "/no", [](HttpEvent& event) { event.answer({.status = 403}); }, stream);
    protocol_.router.add(
        "PUT", "/ignored", [this](HttpEvent& event) { later_.push_back(event.take_responder()); }, stream);
  }
  void SetUp() override { connect(); }

  static std::string put(std::string_view target, std::string_view fields) {
    return "PUT " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n" + std::string(fields) + "\r\n";
  }

  Told told_;
};

TEST_F(HttpStreamTest, HandsPiecesOnAsTheyCome) {
  send(put("/count", "Content-Length: 10\r\n"));
  send("01234");
  EXPECT_EQ(told_.body, "01234");
  EXPECT_FALSE(told_.ended);
  send("56789" + get("/"));
  EXPECT_EQ(told_.body, "0123456789");
  EXPECT_TRUE(told_.ended);
  EXPECT_EQ(received(), ok("10") + ok("home"));
}

TEST_F(HttpStreamTest, HandsChunksOnAsTheyCome) {
  send(put("/count", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n4\r\nde");
  EXPECT_EQ(told_.body, "abcde");
  send("fg\r\n0\r\n\r\n" + get("/"));
  EXPECT_EQ(told_.body, "abcdefg");
  EXPECT_EQ(received(), ok("7") + ok("home"));
}

TEST_F(HttpStreamTest, KnowsABodyOfNothing) {
  send(put("/count", "Content-Length: 0\r\n") + put("/count", ""));
  EXPECT_TRUE(told_.ended);
  EXPECT_EQ(received(), ok("0") + ok("0"));
}

TEST_F(HttpStreamTest, AsksForTheBodyWhenItIsWanted) {
  send(put("/count", "Content-Length: 2\r\nExpect: 100-continue\r\n"));
  EXPECT_EQ(received(), "HTTP/1.1 100 Continue\r\n\r\n");
  send("ab");
  EXPECT_EQ(received(), ok("2"));
  send(put("/no", "Content-Length: 2\r\nExpect: 100-continue\r\n"));
  EXPECT_EQ(received(), "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(ended());
}

TEST_F(HttpStreamTest, EchoesMoreThanIsEverHeld) {
  send(put("/echo", "Transfer-Encoding: chunked\r\n"));
  const std::string piece(100'000, 'p');
  std::string back;
  for (int i = 0; i < 100; ++i) {
    std::string chunk = "186a0\r\n" + piece + "\r\n";
    for (std::string_view left = chunk; !left.empty();) {
      left.remove_prefix(send_some(client_.get(), left));
      back += received();
      ASSERT_LT(loop_->drain(connection_.drain)->pending_bytes(), 2U << 20);
    }
  }
  ASSERT_EQ(send_some(client_.get(), "0\r\n\r\n"), 5U);
  back += received();
  EXPECT_EQ(told_.body.size(), 10'000'000U);
  EXPECT_TRUE(told_.ended);
  EXPECT_THAT(back, testing::StartsWith("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(back, testing::EndsWith("\r\n0\r\n\r\n"));
}

TEST_F(HttpStreamTest, MakesTheClientWaitWhileTheSourceIsPaused) {
  send(put("/count", "Content-Length: 100000000\r\n"));
  loop_->source(connection_.source)->pause();
  loop_.turn();
  std::size_t sent = 0;
  while (const std::size_t some = send_some(client_.get(), std::string(1 << 16, 'b'))) {
    sent += some;
    loop_.turn();
    ASSERT_LT(sent, 10U << 20);
  }
  EXPECT_EQ(told_.body.size(), 0U);
  loop_->source(connection_.source)->resume();
  loop_.turn();
  EXPECT_EQ(told_.body.size(), sent);
}

TEST_F(HttpStreamTest, TellsThatThereIsNoEnd) {
  send(put("/count", "Content-Length: 10\r\n") + "01234");
  half_close();
  EXPECT_EQ(told_.failed, Errc::TruncatedFrame);
  EXPECT_FALSE(told_.ended);

  told_ = {};
  connect();
  send(put("/count", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\nnonsense\r\n");
  EXPECT_EQ(told_.failed, Errc::BadFrame);
  EXPECT_EQ(
      received(),
      error("400 Bad Request",
            "the body is not chunked as it should be, after 3 bytes: the size of a chunk is no hexadecimal number",
            kClose));
}

TEST_F(HttpStreamTest, TellsThatItTakesTooLong) {
  send(put("/count", "Content-Length: 10\r\n") + "01234");
  loop_.pass(21s);
  EXPECT_EQ(told_.failed, Errc::BadFrame);
  EXPECT_THAT(received(), HasSubstr("408 Request Timeout"));
}

TEST_F(HttpStreamTest, AnswersForAReceiverThatThrows) {
  told_.throw_at = 1;
  send(put("/count", "Content-Length: 10\r\n") + "01234");
  send("56");
  EXPECT_THAT(received(), HasSubstr("500 Internal Server Error"));
  EXPECT_TRUE(ended());
  EXPECT_FALSE(told_.failed);
  EXPECT_FALSE(told_.ended);

  told_ = {};
  told_.throw_at = 0;
  connect();
  send(put("/count", "Content-Length: 5\r\n") + "01234" + get("/"));
  EXPECT_EQ(received(), error("500 Internal Server Error", "the request was not answered") + ok("home"));
}

TEST_F(HttpStreamTest, CutsOffAnEchoThatThrows) {
  told_.throw_at = 1;
  send(put("/echo", "Content-Length: 10\r\n") + "01234");
  EXPECT_THAT(received(), testing::EndsWith("5\r\n01234\r\n"));
  send("56");
  EXPECT_EQ(received(), "");
  EXPECT_TRUE(ended());
}

TEST_F(HttpStreamTest, ThrowsAwayWhatNobodyWants) {
  send(put("/ignored", "Content-Length: 10\r\n") + "0123456789" + get("/"));
  ASSERT_EQ(later_.size(), 1U);
  later_[0].answer({});
  EXPECT_EQ(received(), ok("") + ok("home"));
}

TEST_F(HttpStreamTest, ClosesAfterAnAnswerThatComesBeforeTheBodyHas) {
  send(put("/no", "Content-Length: 10\r\n") + "01234" + get("/"));
  EXPECT_EQ(received(), "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(ended());
}

// Goal: what a receiver has to undo is undone, though nobody may be told any more.
TEST_F(HttpStreamTest, DestroysTheReceiverWithItsProtocolAndWithItsSource) {
  struct Undone final : HttpBodyReceiver {
    explicit Undone(int& count, int& told) : undone(count), calls(told) {}
    ~Undone() override { ++undone; }
    void on_piece(std::string_view) override { ++calls; }
    void on_end() override { ++calls; }
    void on_failed(std::error_code) override { ++calls; }
    int& undone;
    int& calls;
  };
  int undone = 0;
  int calls = 0;
  const auto take = [&](HttpEvent& event) {
    later_.push_back(event.take_responder());
    event.receive_body(std::make_unique<Undone>(undone, calls));
  };
  protocol_.router.add("PUT", "/undone", take, {.stream = true});
  send(put("/undone", "Content-Length: 10\r\n"));
  loop_->remove(connection_.source);
  loop_.turn();
  EXPECT_EQ(undone, 1);
  later_.clear();

  auto protocol = std::make_unique<HttpProtocol>();
  protocol->router.add("PUT", "/undone", take, {.stream = true});
  auto [ours, theirs] = make_socket_pair();
  serve_http(*loop_, Channel::make(*loop_, std::move(ours)), *protocol);
  send_some(theirs.get(), put("/undone", "Content-Length: 10\r\n"));
  loop_.turn();
  protocol.reset();
  EXPECT_EQ(undone, 2);
  EXPECT_EQ(calls, 0);
}

// --- answers ---

TEST_F(HttpStreamTest, SendsAnAnswerOfKnownLengthInPieces) {
  send(get("/later"));
  later_[0].begin({.content_type = "text/plain", .body = "one "}, 8);
  EXPECT_TRUE(later_[0].begun());
  EXPECT_TRUE(later_[0].write("two "));
  EXPECT_THROW(later_[0].write("three"), std::length_error);
  EXPECT_TRUE(later_[0].finish());
  EXPECT_FALSE(later_[0].open());
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\none two ");
}

TEST_F(HttpStreamTest, SendsNothingOfABodyThatIsNotToBeSent) {
  protocol_.router.add("HEAD", "/later", [this](HttpEvent& event) { later_.push_back(event.take_responder()); });
  send("HEAD /later HTTP/1.1\r\nHost: x\r\n\r\n" + get("/"));
  later_[0].begin({.body = "piece"});
  later_[0].write("another");
  later_[0].finish();
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + ok("home"));
}

TEST_F(HttpStreamTest, EndsABodyOfUnknownLengthWithTheConnectionInHttp10) {
  send("GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  later_[0].begin({.body = "one "});
  later_[0].write("two");
  later_[0].finish();
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none two");
  EXPECT_TRUE(ended());
}

// Goal: where an answer's pieces come from waits while the client does not read.
TEST_F(HttpStreamTest, PausesWhateverIsBoundToTheAnswer) {
  send(get("/later"));
  later_[0].begin({});
  std::size_t written = 0;
  while (!later_[0].congested()) {
    ASSERT_TRUE(later_[0].write(std::string(1 << 16, 'w')));
    written += 1 << 16;
    loop_.turn();
    ASSERT_LT(written, 10U << 20);
  }
  std::size_t got = 0;
  while (later_[0].congested()) got += received().size();
  EXPECT_GT(got, written / 2);
}

TEST_F(HttpStreamTest, KeepsARequestAsLongAsItIsWanted) {
  std::vector<HttpRequestRef> kept;
  protocol_.router.add("POST", "/keep", [&](HttpEvent& event) {
    kept.push_back(event.take_request());
    later_.push_back(event.take_responder());
  });
  for (int i = 0; i < 5; ++i)
    send(post("/keep", "body " + std::to_string(i), "X-Number: " + std::to_string(i) + "\r\n"));
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_FALSE(kept[i]->lost());
    EXPECT_EQ(kept[i]->body(), "body " + std::to_string(i));
    EXPECT_EQ(kept[i]->field("x-number"), std::to_string(i));
    EXPECT_EQ(kept[i]->path(), "/keep");
  }
  later_.clear();
}

}  // namespace
}  // namespace snowfox
