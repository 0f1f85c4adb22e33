// What a server does with requests that are as they should be.
#include <zlib.h>

#include <stdexcept>

#include "http_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class HttpServerTest : public HttpTest {
 protected:
  void SetUp() override { connect(); }
};

TEST_F(HttpServerTest, AnswersOneRequestAfterAnotherOnOneConnection) {
  send(get("/"));
  EXPECT_EQ(received(), ok("home"));
  send(post("/echo", "some body"));
  EXPECT_EQ(received(), ok("some body"));
  EXPECT_FALSE(ended());
}

TEST_F(HttpServerTest, DatesItsAnswers) {
  send(get("/"));
  const std::string answer = receive_some(client_.get());
  const std::size_t date = answer.find("Date: ");
  ASSERT_NE(date, std::string::npos);
  std::tm time{};
  const char* const end = strptime(answer.c_str() + date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &time);
  ASSERT_NE(end, nullptr) << answer;
  EXPECT_LE(std::abs(std::time(nullptr) - timegm(&time)), 2);
}

TEST_F(HttpServerTest, TakesABodyWhoseBytesComeOneByOne) {
  const std::string request = post("/echo", "slowly");
  for (const char byte : request + request) send({&byte, 1});
  EXPECT_EQ(received(), ok("slowly") + ok("slowly"));
}

TEST_F(HttpServerTest, TakesABodyInChunks) {
  send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n6;name=\"value\"\r\n world\r\n0\r\nTrailer: ignored\r\n\r\n" +
      get("/"));
  EXPECT_EQ(received(), ok("hello world") + ok("home"));
}

TEST_F(HttpServerTest, TakesABodyThatIsLongerThanAnyBuffer) {
  protocol_.options.max_body_bytes = 4U << 20;
  const std::string body(3U << 20, 'b');
  std::string_view left = body;
  ASSERT_EQ(send_some(client_.get(), "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 3145728\r\n\r\n"), 58U);
  while (!left.empty()) {
    left.remove_prefix(send_some(client_.get(), left));
    loop_.turn();
  }
  EXPECT_EQ(later_.size(), 1U);
}

TEST_F(HttpServerTest, SaysNoBodyWhereThereIsNone) {
  protocol_.router.add("GET", "/none", [](HttpEvent& event) { event.answer({.status = 204, .body = "not sent"}); });
  protocol_.router.add("GET", "/same", [](HttpEvent& event) { event.answer({.status = 304, .body = "not sent"}); });
  send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
  send(get("/none"));
  EXPECT_EQ(received(), "HTTP/1.1 204 No Content\r\n\r\n");
  send(get("/same"));
  EXPECT_EQ(received(), "HTTP/1.1 304 Not Modified\r\n\r\n");
}

TEST_F(HttpServerTest, SendsTheFieldsItIsGiven) {
  protocol_.options.server = "fox/1";
  protocol_.router.add("GET", "/fields", [](HttpEvent& event) {
    event.answer({.status = 429,
                  .content_type = "text/plain",
                  .body = "later",
                  .fields = {{"Retry-After", "3"}, {"X-Empty", ""}}});
  });
  send(get("/fields"));
  EXPECT_EQ(received(),
            "HTTP/1.1 429 Too Many Requests\r\nServer: fox/1\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
            "Retry-After: 3\r\nX-Empty: \r\n\r\nlater");
}

// Goal: nobody can make two answers of one.
TEST_F(HttpServerTest, SendsNoFieldThatIsNone) {
  std::vector<HttpField> fields;
  protocol_.router.add("GET", "/fields", [&](HttpEvent& event) { event.answer({.fields = fields}); });
  for (const HttpField& field : {HttpField{"X", "a\r\nContent-Length: 0"}, HttpField{"X Y", "a"}, HttpField{"", "a"},
                                 HttpField{"content-length", "7"}, HttpField{"Transfer-Encoding", "chunked"}}) {
    fields = {field};
    send(get("/fields"));
    EXPECT_EQ(received(), error("500 Internal Server Error", "the request could not be handled")) << field.name;
  }
  EXPECT_EQ(loop_->counters().failed, 5U);
}

TEST_F(HttpServerTest, ClosesWhenAsked) {
  send(get("/", "Connection: close\r\n") + get("/"));
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhome");
  EXPECT_TRUE(ended());
  client_ = {};
  loop_.turn();
  EXPECT_TRUE(gone());
}

TEST_F(HttpServerTest, SpeaksHttp10) {
  send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\nhome");
  send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhome");
  EXPECT_TRUE(ended());
}

TEST_F(HttpServerTest, AnswersAClientThatHasFinishedSpeaking) {
  send(get("/later"));
  half_close();
  EXPECT_FALSE(ended());
  later_[0].answer({.body = "at last"});
  EXPECT_THAT(received(), HasSubstr("at last"));
  EXPECT_TRUE(ended());
  EXPECT_TRUE(gone());
}

TEST_F(HttpServerTest, AsksForABodyThatWaits) {
  send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(received(), "HTTP/1.1 100 Continue\r\n\r\n");
  send("body");
  EXPECT_EQ(received(), ok("body"));
  // One that is there already need not be asked for.
  send(post("/echo", "here", "Expect: 100-continue\r\n"));
  EXPECT_EQ(received(), ok("here"));
}

TEST_F(HttpServerTest, AsksForNoBodyBeforeAllElseIsAnswered) {
  send(get("/later") + "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(received(), "");
  later_[0].answer({.body = "now"});
  EXPECT_EQ(received(), ok("now") + "HTTP/1.1 100 Continue\r\n\r\n");
  send("body");
  EXPECT_EQ(received(), ok("body"));
}

TEST_F(HttpServerTest, DoesNotAskForABodyThatIsTooLong) {
  send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(received(), error("413 Content Too Large", "the body is longer than 1048576 bytes", kClose));
  EXPECT_TRUE(ended());
}

TEST_F(HttpServerTest, KnowsTheTargetsInFull) {
  std::string host;
  std::string query;
  protocol_.router.add("GET", "/what", [&](HttpEvent& event) {
    host = event.request().host();
    query = event.request().query();
    event.answer({});
  });
  send("GET http://elsewhere:80/what?a=1?2 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(received(), ok(""));
  EXPECT_EQ(host, "elsewhere:80");
  EXPECT_EQ(query, "a=1?2");
  send("GET http://elsewhere HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(received(), ok("home"));
  send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(received(), "HTTP/1.1 204 No Content\r\nAllow: OPTIONS\r\n\r\n");
}

// Goal: an exchange goes by the id that it came with, in the log and in the answer.
TEST_F(HttpServerTest, CarriesTheCorrelationId) {
  protocol_.options.answer_correlation_id = true;
  std::string id;
  protocol_.router.add("GET", "/id", [&](HttpEvent& event) {
    id = event.correlation_id().str();
    event.answer({});
  });
  send(get("/id",
           "X-Correlation-Id: client-7/42\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
           "\r\n"));
  EXPECT_EQ(id, "client-7/42");
  EXPECT_THAT(received(), HasSubstr("\r\nX-Correlation-Id: client-7/42\r\n"));
  send(get("/id", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"));
  EXPECT_EQ(id, "4bf92f3577b34da6a3ce929d0e0e4736");
  for (const std::string bad : {"", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", "nonsense",
                                "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                                "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}) {
    send(get("/id", "traceparent: " + bad + "\r\n"));
    EXPECT_EQ(id.size(), 32U) << bad;
    EXPECT_THAT(id, testing::Not(StartsWith("4bf"))) << bad;
  }
}

TEST_F(HttpServerTest, SaysWhenAHandlerFails) {
  protocol_.router.add("GET", "/throws", [](HttpEvent&) { throw std::runtime_error("secret"); });
  protocol_.router.add("GET", "/silent", [](HttpEvent&) {});
  send(get("/throws") + get("/silent") + get("/"));
  EXPECT_EQ(received(), error("500 Internal Server Error", "the request could not be handled") +
                            error("500 Internal Server Error", "the request was not answered") + ok("home"));
  EXPECT_EQ(loop_.sink.count("a handler has not answered"), 1U);
}

TEST_F(HttpServerTest, MakesErrorsAsTheProgramWantsThem) {
  protocol_.error_body = [](int status, std::string_view reason) {
    return HttpErrorBody{"text/plain", std::to_string(status) + " " + std::string(reason)};
  };
  send(get("/nowhere"));
  EXPECT_THAT(received(), testing::EndsWith("404 nothing is found at this path"));
}

std::string compressed(std::string_view text, int window) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}
constexpr int kGzip = 16 + MAX_WBITS;

TEST_F(HttpServerTest, DecodesBodies) {
  const std::string text = "to be or not to be or to be or not";
  send(post("/echo", compressed(text, kGzip), "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(received(), ok(text));
  send(post("/echo", compressed(text, kGzip) + compressed(text, kGzip), "Content-Encoding: X-GZIP\r\n"));
  EXPECT_EQ(received(), ok(text + text));
  send(post("/echo", compressed(text, MAX_WBITS), "Content-Encoding: deflate\r\n"));
  EXPECT_EQ(received(), ok(text));
  send(post("/echo", compressed(text, -MAX_WBITS), "Content-Encoding: deflate\r\n"));
  EXPECT_EQ(received(), ok(text));
  send(post("/echo", text, "Content-Encoding: identity\r\n"));
  EXPECT_EQ(received(), ok(text));
}

TEST_F(HttpServerTest, RefusesBodiesThatItCannotDecode) {
  const std::string good = compressed("some text that is long enough", kGzip);
  send(post("/echo", "", "Content-Encoding: br\r\n"));
  EXPECT_EQ(received(), ok(""));
  send(post("/echo", "x", "Content-Encoding: br\r\n"));
  EXPECT_EQ(received(), error("415 Unsupported Media Type", "Content-Encoding is neither gzip nor deflate",
                              "Accept-Encoding: gzip, deflate\r\n"));
  for (const std::string& bad :
       {std::string("nonsense"), good.substr(0, good.size() - 1), good + "more", good.substr(0, 1)}) {
    connect();
    send(post("/echo", bad, "Content-Encoding: gzip\r\n"));
    EXPECT_THAT(received(), HasSubstr("400 Bad Request")) << bad.size();
    EXPECT_TRUE(ended());
  }
}

// Goal: a bomb costs what is allowed, not what it would become.
TEST_F(HttpServerTest, StopsABombWhileInflating) {
  protocol_.options.max_decoded_bytes = 100'000;
  const std::string bomb = compressed(std::string(50U << 20, '\0'), kGzip);
  ASSERT_LT(bomb.size(), protocol_.options.max_body_bytes);
  send(post("/echo", bomb, "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(received(), error("413 Content Too Large", "the body is longer than 100000 bytes when decoded", kClose));
  EXPECT_THAT(seen_, testing::IsEmpty());
}

TEST_F(HttpServerTest, LeavesBodiesAloneWhereToldSo) {
  protocol_.router.add("POST", "/raw", [](HttpEvent& event) { event.answer({.body = event.request().body()}); },
                       {.decode = false});
  send(post("/raw", "as it is", "Content-Encoding: br\r\n"));
  EXPECT_EQ(received(), ok("as it is"));
}

TEST_F(HttpServerTest, EndsConnectionsInOrder) {
  int done = 0;
  send(get("/later"));
  protocol_.finish([&] { ++done; });
  loop_.turn();
  EXPECT_EQ(done, 0);
  EXPECT_FALSE(ended());
  later_[0].answer({.body = "last"});
  EXPECT_EQ(received(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlast");
  EXPECT_TRUE(ended());
  client_ = {};
  loop_.turn();
  EXPECT_EQ(done, 1);
  EXPECT_EQ(protocol_.counters().connections, 0U);

  // Who comes later is served once.
  connect();
  send(get("/"));
  EXPECT_THAT(received(), HasSubstr("Connection: close"));
}

TEST_F(HttpServerTest, EndsAnIdleConnectionAtOnce) {
  send(get("/"));
  received();
  protocol_.finish();
  loop_.turn();
  EXPECT_TRUE(ended());
}

TEST_F(HttpServerTest, CountsWhatItDoes) {
  send(get("/") + get("/nowhere") + post("/echo", "x"));
  received();
  EXPECT_EQ(protocol_.counters().connections, 1U);
  EXPECT_EQ(protocol_.counters().accepted, 1U);
  EXPECT_EQ(protocol_.counters().requests, 2U);
  EXPECT_EQ(protocol_.counters().refused, 1U);
  EXPECT_THAT(protocol_.counters().answers_by_class, ElementsAre(0, 0, 2, 0, 1, 0));
}

}  // namespace
}  // namespace snowfox
