#include "appservice/pattern.h"

#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_directory.h"

namespace snowfox::appservice {
namespace {

using testing::HasSubstr;

std::string hex(std::string_view text) {
  std::string digits;
  for (const char c : text) digits += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return digits;
}

/// What Python makes of it: one character a line, E of a pattern that it refuses.
std::string in_python(const std::vector<std::pair<std::string, std::string>>& cases) {
  const TemporaryDirectory directory;
  std::ofstream table(directory / "cases");
  for (const auto& [pattern, text] : cases) table << hex(pattern) << ' ' << hex(text) << " .\n";
  table.close();
  std::ofstream(directory / "match.py") << "import re, sys, warnings\n"
                                           "warnings.simplefilter('ignore')\n"
                                           "for line in open(sys.argv[1]):\n"
                                           "    pattern, text, _ = line.split(' ') \n"
                                           "    pattern, text = [bytes.fromhex(t).decode() for t in (pattern, text)]\n"
                                           "    try:\n"
                                           "        print('Y' if re.match(pattern, text) else 'N', end='')\n"
                                           "    except re.error:\n"
                                           "        print('E', end='')\n";
  const std::string command = "python3 " + directory / "match.py" + " " + directory / "cases";
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  std::string output;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) output += static_cast<char>(c);
  EXPECT_EQ(pclose(pipe), 0);
  return output;
}

char here(const std::string& pattern, const std::string& text) try {
  switch (Pattern(pattern).match(text)) {
    case Match::Yes: return 'Y';
    case Match::No: return 'N';
    case Match::GaveUp: return 'G';
  }
  return '?';
} catch (const PatternError&) {
  return 'E';
}

// Goal: what Synapse takes for a match, we do, too; what it refuses, we do.
TEST(PatternTest, MatchesWhatPythonMatches) {
  const std::vector<std::string> patterns{
      "@irc_.*:example\\.org",
      "^@irc_.*:example\\.org$",
      "@_telegram_[0-9]+:.*",
      "#freenode_(?!secret).*:example\\.org",
      "(?=.*bot)@.+",
      "@(telegram|irc)_.*",
      "@a|@irc_",
      "@.{3}:",
      "@.{,5}:x",
      "@x{,}irc",
      ".*",
      "",
      "\\w+",
      "@\\w+:",
      "@\\d+:",
      "@\\S+ ",
      "@[^:]*:example",
      "[]@]irc",
      "[^]x]irc",
      "[[@]irc",
      "@[[:alpha:]]irc",
      "@i[\\]r]c_",
      "(?i)@IRC_",
      "(?P<a>@)irc(?P=a)?",
      "@irc\\Z",
      "@irc$",
      "@irc\\b",
      "@\\u0069rc",
      "@\\U00000069rc",
      "\\x40irc",
      "@[\\u0061-\\u007a]+_",
      "@irc\\v",
      "(?s)@irc.",
      "@irc.",
      "@ü.",
      "@.r",
      "!.*:example\\.org",
      "a{b",
      "@irc_{x}",
      "(?<=@)irc",
      "@(?>i*)rc",
      "@(irc)_\\1",
      "\\041",
      // what is none
      "@(irc",
      "@irc)",
      "[a",
      "*",
      "a\\",
      "\\q",
      "\\z",
      "\\x4",
      "\\u12",
      "\\Qa\\E",
      "\\Rx",
      "(?P<1>a)",
      "[z-a]",
      "(?<=a*)b",
      "x{3,2}",
  };
  const std::vector<std::string> texts{
      "",
      "@irc_nick:example.org",
      "@irc_nick:example.orgs",
      "x@irc_nick:example.org",
      "@irc_nick:exampleXorg",
      "@_telegram_42:a",
      "@_telegram_x:a",
      "#freenode_secret:example.org",
      "#freenode_open:example.org",
      "@mybot:x",
      "@abc:x",
      "@:x",
      "@irc",
      "@irc\n",
      "@irc\x0b",
      "@irc_irc",
      "@ürc:x",
      "@日本:x",
      "@٣:x",
      "@٣\xc2\xa0 ",
      "!room:example.org",
      "a{b",
      "@irc_{x}",
      "[irc",
      "]irc",
      "@lirc",
      "@:]irc",
      "@IRC_x",
      "!",
  };
  std::vector<std::pair<std::string, std::string>> cases;
  for (const std::string& pattern : patterns) {
    for (const std::string& text : texts) cases.emplace_back(pattern, text);
  }
  const std::string expected = in_python(cases);
  ASSERT_EQ(expected.size(), cases.size());
  for (std::size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(here(cases[i].first, cases[i].second), expected[i])
        << "pattern " << cases[i].first << " text " << testing::PrintToString(cases[i].second);
  }
  // The table is worth something only if it has some of each.
  for (const char outcome : {'Y', 'N', 'E'}) EXPECT_GT(std::count(expected.begin(), expected.end(), outcome), 20);
}

TEST(PatternTest, EveryMatchBeginsWithTheLiteralPrefix) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"@irc_.*:example\\.org", "@irc_"},
      {"^@irc_.*$", "@irc_"},
      {"@bot:example\\.org", "@bot:example.org"},
      {"@irc_?x", "@irc"},
      {"@irc_+x", "@irc_"},
      {"@irc_{0}x", "@irc"},
      {"@irc_*", "@irc"},
      {"@a|@b", ""},
      {"@(a|b)", "@"},
      {"@[|]x", ""},
      {"(?i)@irc", ""},
      {"@irc(?x) # a | b", ""},
      {"@\\d", "@"},
      {"@ü", "@"},
      {"\\@x\\-y", "@x-y"},
      {"", ""},
      {".*", ""},
  };
  for (const auto& [pattern, prefix] : cases) EXPECT_EQ(Pattern(pattern).literal_prefix(), prefix) << pattern;
}

// Goal: no pattern and no text stops the scheduler.
TEST(PatternTest, GivesUpOnWhatWouldTakeForEver) {
  const std::string text = "@" + std::string(200, 'a') + "!";
  for (const char* pattern : {"@(a+)+$", "@(a|a)*$", "@(a|aa)+$", "@(.*)*x", "@(a*)*b", "(?=(@a*)+$)x",
                              "@(?:a?){100}a{150}b", "@((a+)b?)+$"}) {
    const Pattern hostile(pattern);
    const Match match = hostile.match(text);
    EXPECT_NE(match, Match::Yes) << pattern;
    EXPECT_EQ(hostile.gave_up(), match == Match::GaveUp ? 1 : 0) << pattern;
  }
  const Pattern classic("@(a+)+$");
  EXPECT_EQ(classic.match(text), Match::GaveUp);
  EXPECT_EQ(classic.match("@aa"), Match::Yes);
  EXPECT_EQ(classic.match("@ab"), Match::No);
}

TEST(PatternTest, IsReportedOnceWhenItHasGivenUp) {
  const Pattern pattern("@(a+)+$");
  EXPECT_FALSE(pattern.take_report());
  const std::string text = "@" + std::string(200, 'a') + "!";
  EXPECT_EQ(pattern.match(text), Match::GaveUp);
  EXPECT_EQ(pattern.match(text), Match::GaveUp);
  EXPECT_EQ(pattern.gave_up(), 2);
  EXPECT_TRUE(pattern.take_report());
  EXPECT_FALSE(pattern.take_report());
}

TEST(PatternTest, DoesNotEvenTryWhatIsTooLong) {
  const Pattern pattern(".*", {.input_bytes = 10});
  EXPECT_EQ(pattern.match("0123456789"), Match::Yes);
  EXPECT_EQ(pattern.match("0123456789a"), Match::GaveUp);
}

TEST(PatternTest, DoesNotMatchWhatIsNoText) {
  const Pattern pattern(".*");
  EXPECT_EQ(pattern.match("@\xff"), Match::No);
  EXPECT_EQ(pattern.match("\xed\xa0\x80"), Match::No);  // a surrogate
  EXPECT_EQ(pattern.match(std::string_view("a\0b", 3)), Match::Yes);
  EXPECT_EQ(pattern.gave_up(), 0);
}

TEST(PatternTest, SaysWhatIsWrongAndWhere) {
  const auto error_of = [](const std::string& text) -> std::optional<PatternError> {
    try {
      const Pattern pattern(text);
    } catch (const PatternError& error) {
      return error;
    }
    return std::nullopt;
  };
  const auto open = error_of("@irc_(a");
  ASSERT_TRUE(open);
  EXPECT_THAT(open->what(), HasSubstr("parenthes"));
  EXPECT_EQ(open->offset(), 7);
  // In what was written, not in what that was translated to.
  const auto behind = error_of("@\\u0061\\v[[x]*+*");
  ASSERT_TRUE(behind);
  EXPECT_GE(behind->offset(), 14);
  EXPECT_LE(behind->offset(), 16);
  const auto escape = error_of("ab\\qcd");
  ASSERT_TRUE(escape);
  EXPECT_EQ(escape->offset(), 2);
  EXPECT_THAT(escape->what(), HasSubstr("\\q"));
  EXPECT_TRUE(error_of(std::string(20'000, 'a')));
  EXPECT_TRUE(error_of("((a{1000}){1000}){1000}"));
  EXPECT_TRUE(error_of(std::string(5000, '(') + std::string(5000, ')')));
  EXPECT_TRUE(error_of("\xff"));
  EXPECT_TRUE(error_of("a\\Cb"));
}

TEST(PatternThreadsTest, MatchesInSeveralThreadsAtOnce) {
  const Pattern pattern("@irc_(?:a+)+:x$");
  std::vector<std::thread> threads;
  std::vector<int> matches(4);
  for (int& count : matches) {
    threads.emplace_back([&pattern, &count] {
      for (int i = 0; i < 500; ++i) {
        if (pattern.match("@irc_" + std::string(static_cast<std::size_t>(i % 20 + 1), 'a') + ":x") == Match::Yes)
          ++count;
        if (pattern.match("@irc_b:x") != Match::No) count = -1'000'000;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(matches, testing::Each(500));
}

}  // namespace
}  // namespace snowfox::appservice
