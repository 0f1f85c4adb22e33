#include <snowfox/core/log.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/io.h>

#include "support/json.h"
#include "support/recording_sink.h"

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

constexpr std::size_t kMaxLineBytes = 8192;
constexpr auto kSomeTime = std::chrono::system_clock::time_point(std::chrono::microseconds(1'700'000'000'123'456));

std::string formatted(LogFormat format, std::string_view message, std::initializer_list<LogField> fields = {},
                      const CorrelationId& id = {}, std::string_view component = "test") {
  return format_log_record({kSomeTime, LogLevel::Warning, component, id, message, {fields.begin(), fields.size()}},
                           format);
}
std::string text(std::string_view message, std::initializer_list<LogField> fields = {}, const CorrelationId& id = {}) {
  return formatted(LogFormat::Text, message, fields, id);
}
std::string json(std::string_view message, std::initializer_list<LogField> fields = {}, const CorrelationId& id = {}) {
  return formatted(LogFormat::Json, message, fields, id);
}

/// All control characters, quotes, and bytes that are no UTF-8.
std::string hostile() {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  all += "\xc2\x85\xe2\x80\xa8\xf0\x9f\xa6\x8a\xed\xa0\x80\xc0\x80\xf4\x90\x80\x80\xe2\x82";
  return all;
}

bool is_printable_utf8(std::string_view line) {
  for (const char c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return is_utf8(line);
}

TEST(LogFormatTest, WritesNumbersAsPeopleDo) {
  EXPECT_THAT(text("x", {{"half", 0.5},
                         {"many", 100000.0},
                         {"most", 1e300},
                         {"least", -2.5e-9},
                         {"zero", 0.0},
                         {"signed", std::int64_t{-7}},
                         {"big", std::numeric_limits<std::uint64_t>::max()},
                         {"flag", true}}),
              EndsWith("half=0.5 many=100000 most=1e+300 least=-2.5e-09 zero=0 signed=-7 big=18446744073709551615 "
                       "flag=true"));
}

TEST(LogTest, WritesALineOfText) {
  EXPECT_EQ(
      text("something happened", {{"count", 3}, {"name", "plain"}, {"said", "two words"}, {"ok", true}, {"ratio", 0.5}},
           CorrelationId("client-7/42")),
      "2023-11-14T22:13:20.123456Z warning  test: something happened count=3 name=plain said=\"two words\" ok=true "
      "ratio=0.5 id=client-7/42");
}

TEST(LogTest, WritesAJsonObject) {
  EXPECT_EQ(
      json("something happened", {{"count", -3}, {"name", "plain"}, {"ok", false}}, CorrelationId("client-7/42")),
      R"({"time":"2023-11-14T22:13:20.123456Z","level":"warning","component":"test","message":"something happened",)"
      R"("correlation_id":"client-7/42","count":-3,"name":"plain","ok":false})");
}

TEST(LogTest, HoldsEveryInteger) {
  EXPECT_THAT(text("m", {{"least", std::numeric_limits<std::int64_t>::min()}}), EndsWith("least=-9223372036854775808"));
  EXPECT_THAT(json("m", {{"most", std::numeric_limits<std::uint64_t>::max()}}),
              EndsWith(R"("most":18446744073709551615})"));
}

// Goal: nothing that comes from outside can end a line, begin another, close a quote or move a terminal's cursor.
TEST(LogTest, CannotBeMadeToForgeALine) {
  const std::string forged = "x\n2023-11-14T22:13:20.123456Z critical loop: all is lost\r\x1b[2J\" level=\"critical";
  for (const LogFormat format : {LogFormat::Text, LogFormat::Json}) {
    for (const std::string& attack : {forged, hostile()}) {
      EXPECT_TRUE(is_printable_utf8(formatted(format, attack)));
      EXPECT_TRUE(is_printable_utf8(formatted(format, "m", {{"field", attack}})));
      EXPECT_TRUE(is_printable_utf8(formatted(format, "m", {}, CorrelationId(attack.substr(0, 39)))));
      EXPECT_TRUE(is_printable_utf8(formatted(format, "m", {}, {}, attack)));
    }
  }
  EXPECT_THAT(text("m", {{"peer", "a b=\"c\""}}), EndsWith(R"(peer="a b=\"c\"")"));
  EXPECT_THAT(text("m", {{"peer", ""}}), EndsWith(R"(peer="")"));
  EXPECT_THAT(text("m", {{"peer", "a=b"}}), EndsWith(R"(peer="a=b")"));
}

TEST(LogTest, ReplacesWhatIsNoUtf8AndKeepsWhatIs) {
  EXPECT_THAT(text("m", {{"fox", "\xf0\x9f\xa6\x8a \xff."}}), EndsWith("fox=\"\xf0\x9f\xa6\x8a \xef\xbf\xbd.\""));
}

// Goal: a line of JSON is JSON, whatever is in it and however long it is.
TEST(LogTest, WritesValidJsonWhateverItIsGiven) {
  std::mt19937 random(17);
  for (int round = 0; round < 300; ++round) {
    std::string noise(random() % 6000, '\0');
    for (char& c : noise) c = static_cast<char>(round % 3 == 0 ? random() % 32 : random());
    const std::string line =
        json(noise, {{"field", noise}, {"more", noise}, {"count", random()}},
             noise.empty() ? CorrelationId() : CorrelationId(std::string_view(noise).substr(0, 39)));
    EXPECT_TRUE(is_json(line)) << "round " << round;
    EXPECT_LT(line.size(), kMaxLineBytes);
  }
}

TEST(LogTest, WritesValidJsonForNumbersThatAreNone) {
  for (const double number : {std::nan(""), HUGE_VAL, -HUGE_VAL, 0.0, -0.0, 1e300, 5e-324, 1.0, 0.1}) {
    EXPECT_TRUE(is_json(json("m", {{"number", number}}))) << json("m", {{"number", number}});
  }
}

TEST(LogTest, CutsALongValueAndSaysSo) {
  const std::string line = text("m", {{"long", std::string(5000, 'x')}});
  EXPECT_LT(line.size(), 2200U);
  EXPECT_THAT(line, EndsWith("x…\""));
}

TEST(LogTest, CutsALongLineAndSaysSo) {
  const std::string much(2000, 'x');
  const std::string line = text("m", {{"a", much}, {"b", much}, {"c", much}, {"d", much}, {"e", much}});
  EXPECT_EQ(line.size(), kMaxLineBytes - 1);
  EXPECT_THAT(line, EndsWith("x…"));
  const std::string object = json("m", {{"a", much}, {"b", much}, {"c", much}, {"d", much}, {"e", much}});
  EXPECT_TRUE(is_json(object));
  EXPECT_THAT(object, HasSubstr("\"fields_dropped\":5"));
}

// Goal: a line is never cut inside a character.
TEST(LogTest, CutsBetweenCharacters) {
  for (std::size_t shift = 0; shift < 8; ++shift) {
    std::string foxes(shift, 'x');
    while (foxes.size() < 2040) foxes += "\xf0\x9f\xa6\x8a";
    const std::string line = text("m", {{"a", foxes}, {"b", foxes}, {"c", foxes}, {"d", foxes}, {"e", foxes}});
    EXPECT_LT(line.size(), kMaxLineBytes);
    EXPECT_TRUE(is_utf8(line)) << shift;
    EXPECT_EQ(line.find("\xef\xbf\xbd"), std::string::npos) << shift;
    const std::string longer = text("m", {{"a", foxes + foxes}});
    EXPECT_EQ(longer.find("\xef\xbf\xbd"), std::string::npos) << shift;
    EXPECT_TRUE(is_utf8(longer));
  }
}

TEST(LogTest, LetsThroughWhatItsLevelLetsThrough) {
  RecordingSink sink;
  Log log(sink, LogLevel::Warning);
  log.debug("test", "debug");
  log.info("test", "info");
  log.warning("test", "warning");
  log.error("test", "error");
  EXPECT_EQ(sink.lines.size(), 2U);
  log.set_level(LogLevel::Off);
  log.critical("test", "critical");
  EXPECT_FALSE(log.enabled(LogLevel::Critical));
  EXPECT_FALSE(log.enabled(LogLevel::Off));
  EXPECT_EQ(sink.lines.size(), 2U);
  log.set_level(LogLevel::Debug);
  log.debug("test", "debug", {{"key", "value"}}, CorrelationId("chain"));
  EXPECT_EQ(sink.lines.back().level, LogLevel::Debug);
  EXPECT_EQ(sink.lines.back().component, "test");
  EXPECT_EQ(sink.lines.back().fields["key"], "value");
  EXPECT_EQ(sink.lines.back().correlation_id, "chain");
}

TEST(LogTest, KnowsItsLevelsByName) {
  for (const LogLevel level :
       {LogLevel::Debug, LogLevel::Info, LogLevel::Warning, LogLevel::Error, LogLevel::Critical, LogLevel::Off}) {
    EXPECT_EQ(parse_log_level(to_string(level)), level);
  }
  EXPECT_FALSE(parse_log_level("loud"));
  EXPECT_FALSE(parse_log_level(""));
}

// Goal: a line repeated without end is a few lines and a count; another line is not held back by it.
TEST(LogTest, CountsALineThatIsRepeated) {
  RecordingSink sink;
  {
    Log log(sink);
    for (int i = 0; i < 1000; ++i) log.warning("test", "again", {{"i", i}});
    EXPECT_EQ(sink.count("again"), 10U);
    log.warning("other", "again");
    log.warning("test", "different");
    EXPECT_EQ(sink.lines.size(), 12U);
  }
  ASSERT_EQ(sink.lines.size(), 13U);
  EXPECT_EQ(sink.lines.back().message, "again");
  EXPECT_EQ(sink.lines.back().component, "test");
  EXPECT_EQ(sink.lines.back().level, LogLevel::Warning);
  EXPECT_EQ(sink.lines.back().fields["repeated"], "990");
}

TEST(LogTest, HoldsBackNothingCritical) {
  RecordingSink sink;
  Log log(sink);
  for (int i = 0; i < 100; ++i) log.critical("test", "again");
  EXPECT_EQ(sink.lines.size(), 100U);
}

// Goal: messages that are all different cost no memory without bound, and none is lost.
TEST(LogTest, LetsThroughMessagesThatAreAllDifferent) {
  RecordingSink sink;
  Log log(sink);
  for (int i = 0; i < 5000; ++i) log.info("test", "message " + std::to_string(i));
  EXPECT_EQ(sink.lines.size(), 5000U);
}

// Goal: what was held back is told of in the end, though thousands of other messages came after it.
TEST(LogTest, LosesNoCountToOtherMessages) {
  RecordingSink sink;
  {
    Log log(sink);
    for (int i = 0; i < 30; ++i) log.info("test", "again");
    for (int i = 0; i < 5000; ++i) log.info("test", "message " + std::to_string(i));
  }
  EXPECT_EQ(sink.lines.back().message, "again");
  EXPECT_EQ(sink.lines.back().fields["repeated"], "20");
}

TEST(LogTest, MayBeGivenAnotherSink) {
  RecordingSink first;
  RecordingSink second;
  Log log(first);
  log.info("test", "one");
  log.set_sink(second);
  log.info("test", "two");
  EXPECT_EQ(first.lines.size(), 1U);
  EXPECT_EQ(second.lines.size(), 1U);
}

// Goal: what follows a request misses nothing of it, whatever is printed.
TEST(LogTest, GivesItsObserverAllThatHasACorrelationId) {
  RecordingSink printed;
  RecordingSink observed;
  Log log(printed, LogLevel::Warning);
  log.set_observer(&observed);
  const CorrelationId id("client-7/42");
  log.debug("test", "too low", {{"x", 1}}, id);
  log.warning("test", "nobody's");
  for (int i = 0; i < 30; ++i) log.warning("test", "again", {}, id);
  EXPECT_EQ(printed.lines.size(), 11U);
  ASSERT_EQ(observed.lines.size(), 31U);
  EXPECT_EQ(observed.lines[0].message, "too low");
  EXPECT_EQ(observed.lines[0].fields["x"], "1");
  EXPECT_EQ(observed.lines[0].correlation_id, "client-7/42");
  log.set_observer(nullptr);
  log.warning("test", "another", {}, id);
  EXPECT_EQ(observed.lines.size(), 31U);
}

class DescriptorLogSinkTest : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> fds{};
    ASSERT_EQ(pipe2(fds.data(), O_NONBLOCK | O_CLOEXEC), 0);
    from_ = Descriptor(Io::system(), fds[0]);
    to_ = Descriptor(Io::system(), fds[1]);
  }
  std::string written() const {
    std::string all(1U << 20, '\0');
    const ssize_t count = ::read(from_.get(), all.data(), all.size());
    all.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return all;
  }

  Descriptor from_;
  Descriptor to_;
};

TEST_F(DescriptorLogSinkTest, WritesEachRecordAsALine) {
  DescriptorLogSink sink(to_.get());
  Log log(sink);
  log.info("test", "one");
  sink.set_format(LogFormat::Json);
  log.info("test", "two");
  const std::string all = written();
  const std::size_t end = all.find('\n');
  EXPECT_THAT(all.substr(0, end), MatchesRegex("[-0-9T:.]+Z info     test: one"));
  EXPECT_THAT(all.substr(end + 1), StartsWith("{"));
  EXPECT_EQ(all.back(), '\n');
}

TEST_F(DescriptorLogSinkTest, CutsALineWithItsNewlineAtEightKibibytes) {
  const std::string much(2048, '\x01');
  const std::string more(2048, 'x');
  for (const LogFormat format : {LogFormat::Text, LogFormat::Json}) {
    DescriptorLogSink sink(to_.get(), format);
    Log log(sink);
    log.info("test", much, {{"a", more}, {"b", more}, {"c", more}, {"d", more}});
    const std::string all = written();
    EXPECT_LE(all.size(), kMaxLineBytes);
    EXPECT_EQ(all.find('\n'), all.size() - 1);
  }
}

// Goal: a log that nobody reads holds up nobody.
TEST_F(DescriptorLogSinkTest, DropsWhatTheDescriptorDoesNotTake) {
  DescriptorLogSink sink(to_.get());
  Log log(sink);
  for (int i = 0; i < 20'000; ++i)
    log.critical("test", "a line that is written again and again until the pipe is full");
  EXPECT_FALSE(written().empty());
}

}  // namespace
}  // namespace snowfox
