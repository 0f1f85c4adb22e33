// What others have found to be understood in two ways, sent to our server: each means one thing here, however it is
// cut.
#include <cctype>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <stdexcept>

#include "hostile_input.h"
#include "http_fixture.h"

namespace snowfox {
namespace {

using End = HostileInput::End;

/// What comes after each input: if it is understood, it is this one request.
constexpr std::string_view kNext = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";

std::vector<int> statuses_in(const std::string& answers) {
  static const std::regex kStatusLine("HTTP/1\\.1 ([0-9]{3}) ");
  std::vector<int> statuses;
  for (std::sregex_iterator found(answers.begin(), answers.end(), kStatusLine), none; found != none; ++found) {
    const int status = std::stoi((*found)[1]);
    if (status != 100) statuses.push_back(status);  // it depends on the cuts whether it is said
  }
  return statuses;
}

/// Where `bytes` are cut: nowhere, after each byte, after each CRLF, inside of each CRLF.
std::vector<std::string> cut(const std::string& bytes, char how) {
  std::vector<std::string> pieces{""};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    pieces.back() += bytes[i];
    const bool here = how == 'b' || (how == 'l' && bytes[i] == '\n') || (how == 'r' && bytes[i] == '\r');
    if (here) pieces.emplace_back();
  }
  return pieces;
}

class SmugglingTest : public HttpTest {
 protected:
  SmugglingTest() {
    protocol_.router = {};
    const auto record = [this](HttpEvent& event) {
      const HttpRequest& request = event.request();
      std::string told = std::string(request.method()) + " " + std::string(request.target());
      if (!request.body().empty()) told += "=" + std::string(request.body());
      seen_.push_back(told);
    };
    const auto answer = [record](HttpEvent& event) {
      record(event);
      event.answer({.body = "ok"});
    };
    for (const char* method : {"GET", "POST"}) {
      for (const char* path : {"/", "/next", "/smuggled"}) protocol_.router.add(method, path, answer);
    }
    protocol_.router.add("POST", "/throws", [record](HttpEvent& event) {
      record(event);
      throw std::runtime_error("thrown");
    });
    protocol_.router.add("GET", "/moved/{to}", [record](HttpEvent& event) {
      record(event);
      event.answer({.status = 302, .fields = {{"Location", *event.request().parameter("to")}}});
    });
    protocol_.router.add("POST", "/early", answer, {.stream = true});
  }

  void send_cut(const std::string& bytes, char how) {
    for (const std::string& piece : cut(bytes, how)) {
      send_some(client_.get(), piece);
      loop_.turn();
    }
  }

  void check(const HostileInput& input, char how) {
    SCOPED_TRACE(how);
    seen_.clear();
    connect();
    send_cut(input.bytes + std::string(kNext), how);
    const std::vector<int> statuses = statuses_in(received());
    std::vector<int> expected_statuses = input.statuses;
    std::vector<std::string> expected = input.requests;
    if (input.end == End::Stays) {
      expected_statuses.push_back(200);
      expected.emplace_back("GET /next");
    }
    EXPECT_EQ(statuses, expected_statuses);
    EXPECT_EQ(seen_, expected);
    EXPECT_EQ(ended(), input.end == End::Closes);
    if (input.end != End::Closes) return;
    // Nor is anything that comes later.
    send_some(client_.get(), kNext);
    EXPECT_EQ(received(), "");
    EXPECT_EQ(seen_, expected);
  }
};

class HostileInputTest : public SmugglingTest, public testing::WithParamInterface<HostileInput> {};

TEST_P(HostileInputTest, MeansOneThingHoweverItIsCut) {
  for (const char how : {'w', 'b', 'l', 'r'}) check(GetParam(), how);
}

std::vector<HostileInput> all_inputs() {
  std::vector<HostileInput> all;
  for (const HostileSection& section : hostile_sections()) {
    all.insert(all.end(), section.inputs.begin(), section.inputs.end());
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, HostileInputTest, testing::ValuesIn(all_inputs()),
                         [](const auto& tested) { return tested.param.name; });

// Goal: no byte beside a name or value makes a coding of what is none, nor hides one: the bytes of smuggler's
// exhaustive list, at its four places, beside a length.
TEST_F(SmugglingTest, RefusesACodingWithAnyByteBesideIt) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (c > ' ' && c < '\x7f') continue;
    for (const std::string& field :
         {std::string("Transfer-Encoding:") + c + "chunked", std::string("Transfer-Encoding") + c + ": chunked",
          c + std::string("Transfer-Encoding: chunked"), std::string("Transfer-Encoding: chunked") + c}) {
      seen_.clear();
      connect();
      send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n" + field + "\r\n\r\n0\r\n\r\n" + std::string(kNext));
      EXPECT_THAT(statuses_in(received()), testing::ElementsAre(testing::AnyOf(400, 501))) << byte << field;
      EXPECT_TRUE(ended()) << byte << field;
      EXPECT_THAT(seen_, testing::IsEmpty()) << byte << field;
    }
  }
}

// Goal: no byte other than a tab, a space or what may be visible is taken in a value; none in a name that is no token.
TEST_F(SmugglingTest, TakesNoControlCharacterAnywhereInAField) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool control = byte < 0x20 || byte == 0x7f;
    const bool token = std::isalnum(c & 0x7f) != 0 && byte < 0x80;
    const bool separator = !token && std::string_view("!#$%&'*+-.^_`|~").find(c) == std::string_view::npos;
    for (const bool in_name : {true, false}) {
      if (in_name && c == ':') continue;
      seen_.clear();
      connect();
      send("GET / HTTP/1.1\r\nHost: x\r\n" + (in_name ? std::string("A") + c + "B: c" : std::string("A: b") + c + "c") +
           "\r\n\r\n");
      const bool refused = in_name ? separator : control && c != '\t';
      EXPECT_EQ(statuses_in(received()), std::vector<int>{refused ? 400 : 200}) << byte << in_name;
      EXPECT_EQ(ended(), refused) << byte << in_name;
    }
  }
}

// --- the page that lists them ---

std::string shown(std::string_view bytes) {
  constexpr std::size_t kMost = 180;
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    const std::size_t run = std::min(bytes.find_first_not_of(c, i), bytes.size()) - i;
    std::string one(1, c);
    if (c == '\r') one = "\\r";
    if (c == '\n') one = "\\n";
    if (c == '\t') one = "\\t";
    if (c == '|') one = "\\|";
    if (c == '`') one = "\\x60";
    if (one == std::string(1, c) && (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) >= 0x7f)) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      one = {'\\', 'x', kDigits[static_cast<unsigned char>(c) >> 4U], kDigits[static_cast<unsigned char>(c) & 0xfU]};
    }
    text += one;
    if (run > 30) {
      text += "{" + std::to_string(run) + "}";
      i += run - 1;
    }
    if (text.size() > kMost) return text + "...";
  }
  return text;
}

std::string listed() {
  std::ostringstream text;
  for (const HostileSection& section : hostile_sections()) {
    text << "\n## " << section.title
         << "\n\n| case | source | sent | answered | why it is taken |\n|---|---|---|---|---|\n";
    for (const HostileInput& input : section.inputs) {
      text << "| " << input.name << " | " << input.source << " | `` " << shown(input.bytes) << " `` | ";
      for (const int status : input.statuses) text << status << ", ";
      text << (input.end == End::Closes  ? "closes"
               : input.end == End::Stays ? "goes on"
                                         : "waits")
           << " | " << input.why << " |\n";
    }
  }
  return text.str();
}

// Goal: docs/http-hostile-input.md tells what is tested. With SNOWFOX_WRITE_DOCS set it is written anew.
TEST(HostileInputPageTest, ListsWhatIsTested) {
  const std::string path = SNOWFOX_HOSTILE_INPUT_PAGE;
  std::ifstream file(path);
  const std::string page(std::istreambuf_iterator<char>(file), {});
  constexpr std::string_view kMark = "<!-- what follows is written by test/http/smuggling_test.cc -->\n";
  const std::size_t mark = page.find(kMark);
  ASSERT_NE(mark, std::string::npos);
  const std::string expected = page.substr(0, mark) + std::string(kMark) + listed();
  if (std::getenv("SNOWFOX_WRITE_DOCS") != nullptr) {
    std::ofstream(path) << expected;
  } else {
    EXPECT_TRUE(page == expected) << "SNOWFOX_WRITE_DOCS=1 writes it anew";
  }
}

}  // namespace
}  // namespace snowfox
