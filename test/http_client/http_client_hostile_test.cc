// What servers do wrong, and what a client has to say to each.
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <snowfox/core/error.h>

#include "hostile_server.h"
#include "http_client_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class HttpClientHostileTest : public HttpClientTest {
 protected:
  static HttpClientTimeouts short_for_headers() {
    return {.connect = 10s, .headers = 50ms, .stall = 10s, .stall_bytes = 1, .total = 10s};
  }
  /// How it ends with a server that answers each request with `bytes`, and then closes the connection or hangs.
  HttpClientError error_after(const std::string& bytes, bool hangs = false, HttpClientRequest request = {}) {
    HostileServer server([&](auto& connection) {
      if (connection.read_request().empty()) return;
      connection.write(bytes);
      if (hangs) connection.hang();
    });
    request.url = server.url();
    return error_of(std::move(request));
  }
  static HttpClientTimeouts short_timeouts() {
    return {.connect = 10s, .headers = 10s, .stall = 50ms, .stall_bytes = 1, .total = 10s};
  }
};

// Goal: a server that says nothing costs HttpClientTimeouts::headers.
TEST_F(HttpClientHostileTest, TimesOutBeforeTheHeader) {
  const HttpClientError error = error_after("", true, {.timeouts = short_for_headers()});
  EXPECT_EQ(error.code(), HttpClientErrc::HeadersTimeout) << error.what();
  EXPECT_TRUE(error.may_have_arrived());
  EXPECT_EQ(client().connections_open(), 0U);
}

// Goal: a header of which each line comes in time, but never the end, is a timeout too; so is "100 Continue" alone.
TEST_F(HttpClientHostileTest, TimesOutInTheMiddleOfTheHeader) {
  HostileServer server([](auto& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 1000 && connection.write("X-" + std::to_string(i) + ": y\r\n"); ++i) {
      std::this_thread::sleep_for(5ms);
    }
  });
  EXPECT_EQ(error_of({.url = server.url(), .timeouts = short_for_headers()}).code(), HttpClientErrc::HeadersTimeout);
  const HttpClientError error = error_after("HTTP/1.1 100 Continue\r\n\r\n", true, {.timeouts = short_for_headers()});
  EXPECT_EQ(error.code(), HttpClientErrc::HeadersTimeout);
}

// Goal: a body that stands still is told apart from a response that does not begin.
TEST_F(HttpClientHostileTest, TimesOutInTheBody) {
  const HttpClientError error =
      error_after("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", true, {.timeouts = short_timeouts()});
  EXPECT_EQ(error.code(), HttpClientErrc::BodyTimeout) << error.what();
  EXPECT_TRUE(error.may_have_arrived());
}

// Goal: a trickle is as good as standing still, if it is below what is asked for; else only the total ends it.
TEST_F(HttpClientHostileTest, TimesOutOnATrickle) {
  HostileServer server([](auto& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (connection.write("x")) std::this_thread::sleep_for(5ms);
  });
  HttpClientTimeouts timeouts = short_timeouts();
  timeouts.stall_bytes = 1000;
  EXPECT_EQ(error_of({.url = server.url(), .timeouts = timeouts}).code(), HttpClientErrc::BodyTimeout);
  timeouts.stall_bytes = 1;
  timeouts.stall = 5s;
  timeouts.total = 300ms;
  EXPECT_EQ(error_of({.url = server.url(), .timeouts = timeouts}).code(), HttpClientErrc::TotalTimeout);
}

// Goal: a server that does not take the request's body costs the stall timeout.
TEST_F(HttpClientHostileTest, TimesOutWhenTheBodyIsNotTaken) {
  HostileServer server([](auto&) { std::this_thread::sleep_for(500ms); });
  const HttpClientError error = error_of(
      {.method = "PUT", .url = server.url(), .body = std::string(20'000'000, 'x'), .timeouts = short_timeouts()});
  EXPECT_EQ(error.code(), HttpClientErrc::BodyTimeout) << error.what();
  EXPECT_TRUE(error.may_have_arrived());
}

// Goal: who does not answer a connection attempt costs the connect timeout. A listener with a full backlog does that.
TEST_F(HttpClientHostileTest, TimesOutWhenConnecting) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const name = static_cast<sockaddr*>(static_cast<void*>(&address));
  ASSERT_EQ(::bind(listener, name, size), 0);
  ASSERT_EQ(::getsockname(listener, name, &size), 0);
  ASSERT_EQ(::listen(listener, 0), 0);
  std::array<int, 4> fillers{};
  for (int& filler : fillers) {
    filler = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ::connect(filler, name, size);
  }
  const HttpClientError error = error_of({.url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/",
                                          .timeouts = HttpClientTimeouts{.connect = 100ms}});
  EXPECT_EQ(error.code(), HttpClientErrc::ConnectTimeout) << error.what();
  EXPECT_FALSE(error.may_have_arrived());
  for (const int filler : fillers) ::close(filler);
  ::close(listener);
}

// Goal: a connection that is reset, or closed, is told as such wherever it happens.
TEST_F(HttpClientHostileTest, TellsOfAConnectionThatEndsEarly) {
  HostileServer resetting([](auto& connection) {
    connection.read_request();
    connection.reset();
  });
  HttpClientError error = error_of({.url = resetting.url()});
  EXPECT_EQ(error.code(), HttpClientErrc::ConnectionReset) << error.what();
  EXPECT_TRUE(error.may_have_arrived());
  for (const char* bytes : {"", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"}) {
    error = error_after(bytes);
    EXPECT_EQ(error.code(), HttpClientErrc::ConnectionReset) << bytes << ": " << error.what();
    EXPECT_TRUE(error.may_have_arrived());
  }
}

// Goal: what is no HTTP is a bad response.
TEST_F(HttpClientHostileTest, TellsOfResponsesThatAreNone) {
  for (const char* bytes :
       {"SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\nhello",
        "HTTP/1.1 abc\r\n\r\n"}) {
    const HttpClientError error = error_after(bytes);
    EXPECT_EQ(error.code(), HttpClientErrc::BadResponse) << bytes << ": " << error.what();
  }
}

// Goal: a header without end takes no more memory than it may, in long lines and in short ones.
TEST_F(HttpClientHostileTest, EndsAHugeHeader) {
  HostileServer many([](auto& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\n");
    while (connection.write("X-Field: " + std::string(1000, 'x') + "\r\n")) {
    }
  });
  EXPECT_EQ(error_of({.url = many.url()}).code(), HttpClientErrc::TooLarge);
  HostileServer interim([](auto& connection) {
    connection.read_request();
    while (connection.write("HTTP/1.1 100 Continue\r\n\r\n")) {
    }
  });
  EXPECT_EQ(error_of({.url = interim.url()}).code(), HttpClientErrc::TooLarge);
  HostileServer one([](auto& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\nX-Field: ");
    while (connection.write(std::string(1000, 'x'))) {
    }
  });
  const HttpClientError error = error_of({.url = one.url()});
  EXPECT_EQ(error.code(), HttpClientErrc::TooLarge) << error.what();
}

// Goal: a body without end, or one that is announced too large, ends when it is too large.
TEST_F(HttpClientHostileTest, EndsAnEndlessBody) {
  options.max_body_bytes = 100'000;
  HostileServer server([](auto& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\n\r\n");
    while (connection.write(std::string(10'000, 'x'))) {
    }
  });
  HttpClientError error = error_of({.url = server.url()});
  EXPECT_EQ(error.code(), HttpClientErrc::TooLarge) << error.what();
  EXPECT_LE(client().counters().body_bytes, 100'000U);
  EXPECT_EQ(client().connections_open(), 0U);
  error = error_of({.url = server.url(), .max_body_bytes = 5});
  EXPECT_EQ(error.code(), HttpClientErrc::TooLarge);
  // Memory is not given for what is only announced.
  error = error_after("HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\nx");
  EXPECT_THAT(error.code(), testing::AnyOf(HttpClientErrc::TooLarge, HttpClientErrc::ConnectionReset));
}

std::string gzip(std::size_t zeros) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string input(1U << 20, '\0');
  std::string output;
  std::array<char, 65536> room;
  for (std::size_t done = 0; done < zeros; done += input.size()) {
    stream.next_in = static_cast<Bytef*>(static_cast<void*>(input.data()));
    stream.avail_in = static_cast<uInt>(std::min(input.size(), zeros - done));
    const int flush = done + input.size() >= zeros ? Z_FINISH : Z_NO_FLUSH;
    do {
      stream.next_out = static_cast<Bytef*>(static_cast<void*>(room.data()));
      stream.avail_out = room.size();
      deflate(&stream, flush);
      output.append(room.data(), room.size() - stream.avail_out);
    } while (stream.avail_out == 0);
  }
  deflateEnd(&stream);
  return output;
}

// Goal: compression is off unless asked for; a bomb ends when what comes of it is too large, not after.
TEST_F(HttpClientHostileTest, EndsAGzipBomb) {
  options.max_body_bytes = 1'000'000;
  const std::string small = gzip(500'000);
  const std::string bomb = gzip(300U << 20);
  HostileServer server([&](auto& connection) {
    for (std::string request; !(request = connection.read_request()).empty();) {
      const bool asked = request.find("Accept-Encoding: gzip, deflate\r\n") != request.npos;
      const bool wants_bomb = request.find("GET /bomb") == 0;
      connection.write(response_with(
          wants_bomb ? bomb : small, "200 OK",
          asked ? "Content-Encoding: gzip\r\nX-Asked: 1\r\n" : "Content-Encoding: gzip\r\nX-Asked: 0\r\n"));
    }
  });
  HttpClientResponse response = response_to({.url = server.url()});
  EXPECT_EQ(response.body, small);
  EXPECT_EQ(response.headers.find("X-Asked"), "0");
  response = response_to({.url = server.url(), .decompress = true});
  EXPECT_EQ(response.body, std::string(500'000, '\0'));
  EXPECT_EQ(response.headers.find("X-Asked"), "1");
  rusage before{};
  getrusage(RUSAGE_SELF, &before);
  const HttpClientError error = error_of({.url = server.url("/bomb"), .decompress = true});
  EXPECT_EQ(error.code(), HttpClientErrc::TooLarge) << error.what();
  rusage after{};
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 20'000);  // KiB
}

// Goal: what calls itself compressed and is not is a bad response.
TEST_F(HttpClientHostileTest, TellsOfBadCompression) {
  const HttpClientError error = error_after(response_with("this is no gzip", "200 OK", "Content-Encoding: gzip\r\n"),
                                            false, {.decompress = true});
  EXPECT_EQ(error.code(), HttpClientErrc::BadResponse) << error.what();
}

// Goal: interim responses are passed over, and "Expect: 100-continue" works for who asks for it.
TEST_F(HttpClientHostileTest, PassesOverInterimResponses) {
  HostileServer server([](auto& connection) {
    for (std::string request; !(request = connection.read_request()).empty();) {
      connection.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" +
                       response_with("done"));
    }
  });
  const HttpClientResponse response = response_to({.url = server.url()});
  EXPECT_EQ(response.body, "done");
  EXPECT_FALSE(response.headers.contains("Link"));
  HostileServer patient([](auto& connection) {
    connection.write("HTTP/1.1 100 Continue\r\n\r\n");
    connection.read_request();
    connection.write(response_with("done"));
  });
  EXPECT_EQ(
      response_to({.method = "PUT", .url = patient.url(), .headers = {{"Expect", "100-continue"}}, .body = "x"}).body,
      "done");
}

// Goal: chunks, trailers, folded lines, and a body that ends with the connection are read as HTTP has it.
TEST_F(HttpClientHostileTest, ReadsUnusualResponses) {
  const auto answer = [&](const std::string& bytes) {
    HostileServer server([&](auto& connection) {
      connection.read_request();
      connection.write(bytes);
    });
    return response_to({.url = server.url()});
  };
  const HttpClientResponse chunked = answer(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: "
      "5\r\n\r\n");
  EXPECT_EQ(chunked.body, "abcde");
  EXPECT_FALSE(chunked.headers.contains("X-Sum"));
  EXPECT_EQ(answer("HTTP/1.1 200 OK\r\n\r\nuntil the end").body, "until the end");
  EXPECT_EQ(answer("HTTP/1.1 200 OK\r\nX-Long: a\r\n  b\r\nContent-Length: 0\r\n\r\n").headers.find("x-long"), "a b");
  EXPECT_EQ(answer("HTTP/1.0 204 No Content\r\n\r\n").status, 204);
}

// Goal: a kept connection that the server closes as it is used again costs a new one, and nothing else, if the method
// is idempotent.
TEST_F(HttpClientHostileTest, TriesAgainWhenAKeptConnectionIsClosed) {
  HostileServer server([](auto& connection) {
    connection.read_request();
    connection.write(response_with("hello"));
    connection.read_request();
  });
  EXPECT_EQ(response_to({.url = server.url()}).body, "hello");
  const HttpClientResponse again = response_to({.method = "PUT", .url = server.url(), .body = "x"});
  EXPECT_EQ(again.body, "hello");
  EXPECT_FALSE(again.reused);
  EXPECT_EQ(server.connections(), 2);
}

// Goal: … and if it is not, the program is told that the request may have arrived: it is not sent twice.
TEST_F(HttpClientHostileTest, DoesNotRepeatWhatMayHaveArrived) {
  std::atomic<int> posts = 0;
  HostileServer server([&](auto& connection) {
    connection.read_request();
    connection.write(response_with("hello"));
    if (connection.read_request().starts_with("POST")) ++posts;
  });
  EXPECT_EQ(response_to({.url = server.url()}).body, "hello");
  const HttpClientError error = error_of({.method = "POST", .url = server.url(), .body = "x"});
  EXPECT_EQ(error.code(), HttpClientErrc::ConnectionReset) << error.what();
  EXPECT_TRUE(error.may_have_arrived());
  EXPECT_EQ(posts, 1);
}

// Goal: a kept connection that its server closes is closed here soon, not when the next request comes.
TEST_F(HttpClientHostileTest, ClosesKeptConnectionsThatTheirServersClose) {
  HostileServer server([](auto& connection) {
    connection.read_request();
    connection.write(response_with("hello"));
  });
  client();
  EXPECT_EQ(response_to({.url = server.url()}).body, "hello");
  EXPECT_EQ(client().connections_open(), 1U);
  loop.hold();
  pass(3s);
  loop.release();
  EXPECT_EQ(client().connections_open(), 0U);
  EXPECT_EQ(client().counters().sent, 1U);
}

// Goal: so it is with a proxy, whose other kept connections stay and are shown nothing by it.
TEST_F(HttpClientHostileTest, ClosesKeptConnectionsToAProxyOneByOne) {
  std::atomic<int> strays = 0;
  HostileServer proxy([&](auto& connection) {
    const std::string request = connection.read_request();
    connection.write(response_with("hello"));
    if (request.starts_with("GET http://ends.example/ ")) return;
    if (!connection.read_request().empty()) ++strays;
  });
  options.proxy = "http://127.0.0.1:" + std::to_string(proxy.port());
  Promise<HttpClientResponse> ends = client().send({.url = "http://ends.example/"});
  EXPECT_EQ(response_to({.url = "http://stays.example/"}).body, "hello");
  EXPECT_EQ(outcome_of(loop, std::move(ends)).body, "hello");
  EXPECT_EQ(proxy.connections(), 2);
  loop.hold();
  pass(3s);
  loop.release();
  EXPECT_EQ(client().connections_open(), 1U);
  EXPECT_EQ(strays, 0);
}

// Goal: no descriptor is lost by any of the ways in which exchanges end.
TEST_F(HttpClientHostileTest, LosesNoDescriptor) {
  HostileServer server([](auto& connection) {
    const std::string request = connection.read_request();
    if (request.find("/reset") != request.npos) return connection.reset();
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    if (request.find("/hang") != request.npos) connection.hang();
  });
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(error_of({.url = server.url("/reset")}).code());
    EXPECT_TRUE(error_of({.url = server.url("/half")}).code());
    Promise<HttpClientResponse> dropped = client().send({.url = server.url("/hang")});
    pass(1ms);
  }
  pass(50ms);
  EXPECT_EQ(client().connections_open(), 0U);
  EXPECT_EQ(client().counters().connections_opened, client().counters().connections_closed);
  drop_client();
  EXPECT_LE(open_descriptors(), before + 4);
}

}  // namespace
}  // namespace snowfox
