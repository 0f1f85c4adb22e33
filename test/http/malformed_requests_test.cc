// Requests that one reader might take for another request than the next one does, and other nonsense. Each is refused
// with the same words however it is cut, and nothing after it is read.
#include "http_fixture.h"

namespace snowfox {
namespace {

struct Malformed {
  const char* name;
  std::string bytes;
  const char* status;
  const char* reason;
};

std::string with(const std::string& fields, const std::string& body = "") {
  return "POST /echo HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" + body;
}
std::string chunked(const std::string& body) { return with("Transfer-Encoding: chunked\r\n", body); }

constexpr const char* kBad = "400 Bad Request";
constexpr const char* kUnknownCoding = "501 Not Implemented";
constexpr const char* kNotChunked = "line 3: Transfer-Encoding is not exactly `chunked`";
constexpr const char* kBadLength = "line 3: Content-Length is no number, or not the only length";
constexpr const char* kBadSize =
    "the body is not chunked as it should be, after 0 bytes: the size of a chunk is no hexadecimal number";
constexpr const char* kLoneCr = "the body is not chunked as it should be, after 0 bytes: CR without LF";
constexpr const char* kBadExtension =
    "the body is not chunked as it should be, after 0 bytes: a chunk extension has a control character";
constexpr const char* kNoExtension =
    "the body is not chunked as it should be, after 0 bytes: a chunk extension is neither name nor name=value";
constexpr const char* kBadTrailer =
    "the body is not chunked as it should be, after 0 bytes: a line of the trailer is no field";
constexpr const char* kTrailerControl =
    "the body is not chunked as it should be, after 0 bytes: the trailer has a control character";
constexpr const char* kNoChunkEnd =
    "the body is not chunked as it should be, after 1 bytes: a chunk does not end in CRLF";

// docs/http.md lists these.
const std::vector<Malformed> kMalformed{
    // Two lengths.
    {"ContentLengthThenChunked", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), kBad,
     "line 4: Transfer-Encoding is not the only length"},
    {"ChunkedThenContentLength", with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), kBad,
     "line 4: Content-Length is no number, or not the only length"},
    {"TwoContentLengths", with("Content-Length: 5\r\nContent-Length: 6\r\n", "12345"), kBad,
     "line 4: Content-Length is no number, or not the only length"},
    {"TheSameContentLengthTwice", with("Content-Length: 5\r\nContent-Length: 5\r\n", "12345"), kBad,
     "line 4: a second Content-Length"},
    {"ContentLengthList", with("Content-Length: 5, 5\r\n", "12345"), kBad, "line 3: Content-Length is no number"},
    {"ContentLengthUnequalList", with("Content-Length: 5, 6\r\n", "12345"), kBad, kBadLength},
    {"TwoTransferEncodings", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), kBad,
     "line 4: Transfer-Encoding is not the only length"},
    {"ChunkedThenIdentity", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), kBad,
     "line 4: Transfer-Encoding is not the only length"},
    // A length that is none.
    {"ContentLengthPlus", with("Content-Length: +5\r\n", "12345"), kBad, kBadLength},
    {"ContentLengthMinus", with("Content-Length: -5\r\n", "12345"), kBad, kBadLength},
    {"ContentLengthSpace", with("Content-Length: 1 2\r\n", "12345"), kBad, kBadLength},
    {"ContentLengthEmpty", with("Content-Length:\r\n", "12345"), kBad, kBadLength},
    {"ContentLengthHexadecimal", with("Content-Length: 0x5\r\n", "12345"), kBad, kBadLength},
    {"ContentLengthPoint", with("Content-Length: 5.0\r\n", "12345"), kBad, kBadLength},
    {"ContentLengthUnderscore", with("Content-Length: 1_0\r\n", "12345"), kBad, kBadLength},
    {"ContentLengthTooLarge", with("Content-Length: 99999999999999999999999\r\n"), kBad, kBadLength},
    {"ContentLengthJustTooLarge", with("Content-Length: 18446744073709551616\r\n"), kBad, kBadLength},
    {"ContentLengthManyDigits", with("Content-Length: 0000000000000000005\r\n", "12345"), kBad,
     "line 3: Content-Length is no number"},
    // A coding that looks like one.
    {"XChunked", with("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), kUnknownCoding, kNotChunked},
    {"ChunkedX", with("Transfer-Encoding: chunkedx\r\n", "0\r\n\r\n"), kUnknownCoding, kNotChunked},
    {"IdentityCoding", with("Transfer-Encoding: identity\r\n", "0\r\n\r\n"), kUnknownCoding, kNotChunked},
    {"GzipChunked", with("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), kUnknownCoding, kNotChunked},
    {"ChunkedIdentity", with("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), kUnknownCoding, kNotChunked},
    {"CommaChunked", with("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"), kUnknownCoding, kNotChunked},
    {"QuotedChunked", with("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), kUnknownCoding, kNotChunked},
    {"ChunkedWithParameter", with("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"), kUnknownCoding, kNotChunked},
    {"EmptyCoding", with("Transfer-Encoding:\r\n", "0\r\n\r\n"), kUnknownCoding, kNotChunked},
    {"VerticalTabChunked",
     with("Transfer-Encoding: \x0b"
          "chunked\r\n",
          "0\r\n\r\n"),
     kBad, "line 3: the value of the field has a control character"},
    {"ChunkedNul", with(std::string("Transfer-Encoding: chunked\0\r\n", 29), "0\r\n\r\n"), kBad,
     "line 3: the value of the field has a control character"},
    {"SpaceBeforeColon", with("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), kBad,
     "line 3: the name of the field is no token followed by a colon"},
    {"TabBeforeColon", with("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"), kBad,
     "line 3: the name of the field is no token followed by a colon"},
    {"SpaceBeforeName", with(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), kBad,
     "line 3 is folded: it begins with a space"},
    {"FoldedCoding", with("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), kBad,
     "line 4 is folded: it begins with a space"},
    {"FoldedByATab", with("X: a\r\n\tTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), kBad,
     "line 4 is folded: it begins with a space"},
    {"CodingAfterBareLf", with("X: a\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), kBad,
     "line 3 ends in LF without CR"},
    {"CodingAfterBareCr", with("X: a\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), kBad, "line 3: CR without LF"},
    {"CodingInHttp10", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", kBad,
     "Transfer-Encoding in HTTP/1.0"},
    // Line ends.
    {"BareLfAfterRequestLine", "GET / HTTP/1.1\nHost: x\r\n\r\n", kBad, "line 1 ends in LF without CR"},
    {"OnlyLf", "GET / HTTP/1.1\nHost: x\n\n", kBad, "line 1 ends in LF without CR"},
    {"CrCrLf", "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", kBad, "line 2: CR without LF"},
    {"CrAfterRequestLine", "GET / HTTP/1.1\rHost: x\r\n\r\n", kBad, nullptr},
    {"LfAtTheEnd", "GET / HTTP/1.1\r\nHost: x\r\n\n", kBad, "line 3 ends in LF without CR"},
    // Chunks.
    {"ChunkSizeNegative", chunked("-1\r\na\r\n0\r\n\r\n"), kBad, kBadSize},
    {"ChunkSizePlus", chunked("+1\r\na\r\n0\r\n\r\n"), kBad, kBadSize},
    {"ChunkSizePrefix", chunked("0x1\r\na\r\n0\r\n\r\n"), kBad, kBadSize},
    {"ChunkSizeSpace", chunked(" 1\r\na\r\n0\r\n\r\n"), kBad, kBadSize},
    {"ChunkSizeTrailingSpace", chunked("1 \r\na\r\n0\r\n\r\n"), kBad, kBadSize},
    {"ChunkSizeEmpty", chunked("\r\na\r\n0\r\n\r\n"), kBad, kBadSize},
    {"ChunkSizeNoNumber", chunked("g\r\na\r\n0\r\n\r\n"), kBad, kBadSize},
    {"ChunkSizeOverflow", chunked("10000000000000001\r\na\r\n0\r\n\r\n"), kBad,
     "the body is not chunked as it should be, after 0 bytes: the size of a chunk has too many digits"},
    {"ChunkSizeManyDigits", chunked("0000000000000001\r\na\r\n0\r\n\r\n"), kBad,
     "the body is not chunked as it should be, after 0 bytes: the size of a chunk has too many digits"},
    {"ChunkSizeLargest", chunked("fffffffffffffff\r\na\r\n0\r\n\r\n"), "413 Content Too Large",
     "the body is longer than 1048576 bytes"},
    {"ChunkSizeUnderscore", chunked("1_0\r\na\r\n0\r\n\r\n"), kBad, kBadSize},
    {"ChunkBareLf", chunked("1\na\r\n0\r\n\r\n"), kBad, kBadSize},
    {"ChunkBareCr", chunked("1\ra\r\n0\r\n\r\n"), kBad, kLoneCr},
    {"ChunkExtensionBareLf", chunked("1;a\nb\r\na\r\n0\r\n\r\n"), kBad, kBadExtension},
    {"ChunkExtensionBareCr", chunked("1;a\rb\r\na\r\n0\r\n\r\n"), kBad, kLoneCr},
    {"ChunkExtensionNul", chunked(std::string("1;\0\r\na\r\n0\r\n\r\n", 14)), kBad, kBadExtension},
    {"ChunkExtensionQuoteOpen", chunked("1;a=\"b\r\na\r\n0\r\n\r\n"), kBad, kBadExtension},
    {"ChunkExtensionNone", chunked("1;\r\na\r\n0\r\n\r\n"), kBad, kBadExtension},
    {"ChunkExtensionNoToken", chunked("1;a[=b\r\na\r\n0\r\n\r\n"), kBad, kNoExtension},
    {"ChunkExtensionNoValue", chunked("1;a=\r\na\r\n0\r\n\r\n"), kBad, kBadExtension},
    {"ChunkExtensionAfterQuote", chunked("1;a=\"b\"c\r\na\r\n0\r\n\r\n"), kBad, kNoExtension},
    {"ChunkTooLong", chunked("1\r\nab\r\n0\r\n\r\n"), kBad, kNoChunkEnd},
    {"ChunkWithoutEnd", chunked("1\r\na0\r\n\r\n"), kBad, kNoChunkEnd},
    {"LastChunkBareLf", chunked("0\n\n"), kBad, kBadSize},
    {"TrailerWithoutColon", chunked("0\r\nnonsense\r\n\r\n"), kBad, kBadTrailer},
    {"TrailerFolded", chunked("0\r\na: b\r\n c\r\n\r\n"), kBad, kBadTrailer},
    {"TrailerBareLf", chunked("0\r\na: b\nc: d\r\n\r\n"), kBad, kTrailerControl},
    {"TrailerNul", chunked(std::string("0\r\na: \0\r\n\r\n", 10)), kBad, kTrailerControl},
    // Request lines.
    {"TwoSpaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", kBad, nullptr},
    {"TwoSpacesLater", "GET /  HTTP/1.1\r\nHost: x\r\n\r\n", kBad, nullptr},
    {"TabsForSpaces", "GET\t/\tHTTP/1.1\r\nHost: x\r\n\r\n", kBad, nullptr},
    {"SpaceBefore", " GET / HTTP/1.1\r\nHost: x\r\n\r\n", kBad, nullptr},
    {"SpaceAfter", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", kBad, nullptr},
    {"SpaceInTarget", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", kBad, nullptr},
    {"NoTarget", "GET HTTP/1.1\r\nHost: x\r\n\r\n", kBad, nullptr},
    {"NoVersion", "GET /\r\n\r\n", kBad, nullptr},
    {"Http09", "GET /\r\nHost: x\r\n\r\n", kBad, nullptr},
    {"Http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 HTTP Version Not Supported",
     "line 1: HTTP/1.0 or HTTP/1.1 was expected"},
    {"Http12", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", "505 HTTP Version Not Supported",
     "line 1: HTTP/1.0 or HTTP/1.1 was expected"},
    {"LowerCaseVersion", "GET / http/1.1\r\nHost: x\r\n\r\n", kBad, nullptr},
    {"VersionOfTwoDigits", "GET / HTTP/1.10\r\nHost: x\r\n\r\n", kBad, nullptr},
    {"NulInTarget", std::string("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", 28), kBad, nullptr},
    {"MethodNoToken", "GE(T / HTTP/1.1\r\nHost: x\r\n\r\n", kBad, nullptr},
    {"Connect", "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", "501 Not Implemented", "line 1: CONNECT is not served"},
    {"StarNotOptions", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", kBad, "line 1: the target * is for OPTIONS"},
    {"RelativeTarget", "GET a/b HTTP/1.1\r\nHost: x\r\n\r\n", kBad, "line 1: the target does not begin with a slash"},
    {"OtherScheme", "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", kBad, "line 1: the target does not begin with a slash"},
    {"UserInTarget", "GET http://user@x/ HTTP/1.1\r\nHost: x\r\n\r\n", kBad, "line 1: the target's host is none"},
    {"NoHostInTarget", "GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n", kBad, "line 1: the target's host is none"},
    {"Fragment", "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", kBad, "line 1: the target has a fragment"},
    // Fields.
    {"NulInName", std::string("GET / HTTP/1.1\r\nHost: x\r\nA\0B: c\r\n\r\n", 36), kBad,
     "line 3: the name of the field is no token followed by a colon"},
    {"NulInValue", std::string("GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", 36), kBad,
     "line 3: the value of the field has a control character"},
    {"DeleteInValue", "GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n", kBad,
     "line 3: the value of the field has a control character"},
    {"NoColon", "GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n", kBad,
     "line 3: the name of the field is no token followed by a colon"},
    {"NoName", "GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", kBad,
     "line 3: the name of the field is no token followed by a colon"},
    {"BytesInName", "GET / HTTP/1.1\r\nHost: x\r\n\xc3\xa9: a\r\n\r\n", kBad,
     "line 3: the name of the field is no token followed by a colon"},
    {"NoHost", "GET / HTTP/1.1\r\nA: b\r\n\r\n", kBad, "HTTP/1.1 without Host"},
    {"TwoHosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", kBad, "line 3: a second Host"},
    {"HostWithUser", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", kBad, "line 2: Host is none"},
    {"HostWithPath", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", kBad, "line 2: Host is none"},
    {"HostWithSpace", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", kBad, "line 2: Host is none"},
    {"HostPort", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", kBad, "line 2: Host is none"},
    {"HostTwoPorts", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", kBad, "line 2: Host is none"},
    {"HostHalfABracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", kBad, "line 2: Host is none"},
    {"HostHalfAnEscape", "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", kBad, "line 2: Host is none"},
    {"HostList", "GET / HTTP/1.1\r\nHost: a,b@c\r\n\r\n", kBad, "line 2: Host is none"},
    {"ConnectionNoList", with("Connection: close; now\r\n"), kBad, "line 3: Connection is no list of tokens"},
    {"Expectation", with("Expect: 200-ok\r\n"), "417 Expectation Failed", "line 3: Expect is not 100-continue"},
    {"LongCorrelationId", with("X-Correlation-Id: 1234567890123456789012345678901234567890\r\n"), kBad,
     "line 3: X-Correlation-Id is not 1 to 39 visible ASCII characters"},
    {"EmptyCorrelationId", with("X-Correlation-Id:\r\n"), kBad,
     "line 3: X-Correlation-Id is not 1 to 39 visible ASCII characters"},
    {"BlankInCorrelationId", with("X-Correlation-Id: a b\r\n"), kBad,
     "line 3: X-Correlation-Id is not 1 to 39 visible ASCII characters"},
};

class MalformedRequestsTest : public HttpTest, public testing::WithParamInterface<Malformed> {};

TEST_P(MalformedRequestsTest, AreRefusedWithAReason) {
  const Malformed& malformed = GetParam();
  connect();
  send(malformed.bytes + get("/"));
  const std::string answer = received();
  if (malformed.reason != nullptr) {
    EXPECT_EQ(answer, error(malformed.status, malformed.reason, kClose));
  } else {
    EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 " + std::string(malformed.status)));
    EXPECT_THAT(answer, testing::HasSubstr("line 1: "));
  }
  EXPECT_TRUE(ended());
  EXPECT_THAT(seen_, testing::IsEmpty());
  EXPECT_EQ(loop_.sink.count("request refused"), 1U);
  client_ = {};
  loop_.turn();
  EXPECT_TRUE(gone());
}

// Goal: what is said does not depend on how the bytes come. All ways to cut them in two, and byte by byte.
TEST_P(MalformedRequestsTest, AreRefusedInTheSameWayHoweverTheyAreCut) {
  const std::string bytes = get("/") + GetParam().bytes;
  connect();
  send(bytes);
  const std::string expected = received();
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    connect();
    send(bytes.substr(0, cut));
    send_some(client_.get(), bytes.substr(cut));
    ASSERT_EQ(received(), expected) << cut;
  }
  connect();
  for (const char byte : bytes) {
    send_some(client_.get(), {&byte, 1});
    loop_.turn();
  }
  EXPECT_EQ(received(), expected);
}

INSTANTIATE_TEST_SUITE_P(All, MalformedRequestsTest, testing::ValuesIn(kMalformed),
                         [](const auto& tested) { return std::string(tested.param.name); });

// Goal: the same of what is as it should be.
TEST_F(HttpTest, UnderstandsTheSameHoweverItIsCut) {
  const std::string bytes = "\r\n" + get("/") + post("/echo", "in one piece") + "\r\n" +
                            chunked("3;a=b\r\nabc\r\n01\r\nd\r\n000\r\nTrailer: t\r\n\r\n") +
                            "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + get("/nowhere", "Content-Length: 2\r\n") + "xx" +
                            get("/", "Connection: close\r\n");
  connect();
  send(bytes);
  const std::string expected = received();
  EXPECT_THAT(expected, testing::EndsWith("Connection: close\r\n\r\nhome"));
  EXPECT_THAT(seen_, testing::ElementsAre("in one piece", "abcd"));
  for (std::size_t first = 1; first < bytes.size(); ++first) {
    for (std::size_t second = first; second < bytes.size(); second += 7) {
      connect();
      send(bytes.substr(0, first));
      send(bytes.substr(first, second - first));
      send(bytes.substr(second));
      ASSERT_EQ(received(), expected) << first << " " << second;
    }
  }
}

}  // namespace
}  // namespace snowfox
