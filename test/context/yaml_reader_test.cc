#include <snowfox/context/yaml_reader.h>

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "context/in_child.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Service {
  std::string id;
  std::vector<std::string> command;
  std::chrono::seconds stop_timeout{10};
};

void read_yaml(YamlMapping& yaml, Service& service) {
  yaml.required("id", service.id);
  yaml.required("command", service.command);
  yaml.optional("stop_timeout", service.stop_timeout, between(1s, 1h));
}

struct Settings {
  std::string name;
  LogSettings log;
  std::vector<Located<Address>> listen;
  std::vector<Service> services;
};

void read_yaml(YamlMapping& yaml, Settings& settings) {
  yaml.required("name", settings.name);
  yaml.optional("log", settings.log);
  yaml.optional("listen", settings.listen);
  yaml.optional("services", settings.services);
}

Settings read(std::string_view text, const YamlOptions& options = {}) {
  return YamlReader::parse(text, "node.yml", options).read<Settings>();
}

/// What is wrong with `text` as Settings.
std::string error(std::string_view text, const YamlOptions& options = {}) {
  try {
    read(text, options);
  } catch (const ConfigurationError& problem) {
    return problem.what();
  }
  return "";
}

TEST(YamlReaderTest, ReadsAConfiguration) {
  const Settings settings = read(R"(# A node.
name: alpha
log: {level: debug, format: json}
listen:
  - unix:/run/node.sock
  - 127.0.0.1:7000
services:
  - id: web
    command: [/usr/bin/web, --port, "80"]
  - id: db
    command: [/usr/bin/db]
    stop_timeout: 2m
)");
  EXPECT_EQ(settings.name, "alpha");
  EXPECT_EQ(settings.log.level, LogLevel::Debug);
  EXPECT_EQ(settings.log.format, LogFormat::Json);
  ASSERT_EQ(settings.listen.size(), 2U);
  EXPECT_EQ(*settings.listen[1], Address::parse("127.0.0.1:7000"));
  EXPECT_EQ(settings.listen[1].place.str(), "node.yml:6:5: listen[1]");
  ASSERT_EQ(settings.services.size(), 2U);
  EXPECT_THAT(settings.services[0].command, ElementsAre("/usr/bin/web", "--port", "80"));
  EXPECT_EQ(settings.services[0].stop_timeout, 10s);
  EXPECT_EQ(settings.services[1].stop_timeout, 2min);
}

TEST(YamlReaderTest, ReadsJson) {
  const Settings settings = read(R"({"name":"alpha","listen":["unix:/x"],)"
                                 "\n\t\"services\": [{\"id\": \"a\\u0062\", \"command\": [], \"stop_timeout\": 5}]}");
  EXPECT_EQ(settings.name, "alpha");
  EXPECT_EQ(settings.services.at(0).id, "ab");
  EXPECT_EQ(settings.services.at(0).stop_timeout, 5s);
}

TEST(YamlReaderTest, ReadsAMappingOfNothingAsEmpty) {
  EXPECT_EQ(read("name: a\nlog:\nservices:\n").log.level, std::nullopt);
  EXPECT_EQ(error(""), "node.yml: name: missing, expected a text");
  EXPECT_EQ(error("# nothing\n"), "node.yml: name: missing, expected a text");
}

TEST(YamlReaderTest, SaysWhatIsMissing) {
  EXPECT_EQ(error("log: {}\n"), "node.yml:1:1: name: missing, expected a text");
  EXPECT_EQ(error("name: a\nservices:\n- id: x\n"), "node.yml:3:3: services[0].command: missing, expected a list");
}

TEST(YamlReaderTest, SaysWhatIsOfAnotherKind) {
  EXPECT_EQ(error("name: a\nlog: loud\n"), "node.yml:2:6: log: expected a mapping, found \"loud\"");
  EXPECT_EQ(error("name: a\nservices: 5\n"), "node.yml:2:11: services: expected a list, found \"5\"");
  EXPECT_EQ(error("name: a\nservices:\n- web\n"), "node.yml:3:3: services[0]: expected a mapping, found \"web\"");
  EXPECT_EQ(error("- a\n"), "node.yml:1:1: expected a mapping, found a list");
  EXPECT_EQ(error("alpha\n"), "node.yml:1:1: expected a mapping, found \"alpha\"");
}

TEST(YamlReaderTest, TellsAllProblemsTheFirstOneFirst) {
  EXPECT_EQ(error("services:\n- command: x\n  id: []\nlog: {level: loud}\nlogs: 1\n"),
            "node.yml:1:1: name: missing, expected a text\n"
            "node.yml:2:12: services[0].command: expected a list, found \"x\"\n"
            "node.yml:3:7: services[0].id: expected a text, found a list\n"
            "node.yml:4:14: log.level: expected debug, info, warning, error, critical or off, found \"loud\"\n"
            "node.yml:5:1: logs: unknown key; did you mean log?");
}

TEST(YamlReaderTest, TellsTwentyProblemsAndCountsTheRest) {
  std::string text = "name: a\nservices:\n";
  for (int i = 0; i < 15; ++i) text += "- {}\n";
  try {
    read(text);
    FAIL();
  } catch (const ConfigurationError& problem) {
    EXPECT_EQ(problem.problems().size(), 20U);
    EXPECT_EQ(problem.omitted(), 10U);
    EXPECT_EQ(problem.problems()[0].place.line, 3U);
    EXPECT_EQ(problem.problems()[0].place.column, 3U);
    EXPECT_EQ(problem.problems()[0].place.file, "node.yml");
    EXPECT_EQ(problem.problems()[0].place.key, "services[0].id");
    EXPECT_EQ(problem.problems()[0].message, "missing, expected a text");
  }
}

TEST(YamlReaderTest, SuggestsTheKnownKeyThatIsNearest) {
  EXPECT_EQ(error("name: a\nsevrices: []\n"), "node.yml:2:1: sevrices: unknown key; did you mean services?");
  EXPECT_EQ(error("name: a\nlog: {levle: info}\n"), "node.yml:2:7: log.levle: unknown key; did you mean level?");
  EXPECT_EQ(error("name: a\ncolour: red\n"),
            "node.yml:2:1: colour: unknown key; known here: listen, log, name, services");
  EXPECT_EQ(error("name: a\n\"a b\\n\": red\n"),
            "node.yml:2:1: \"a b\\n\": unknown key; known here: listen, log, name, services");
}

TEST(YamlReaderTest, IgnoresUnknownKeysIfToldTo) {
  const YamlOptions options{.ignore_unknown_keys = true};
  EXPECT_EQ(read("name: a\ncolour: red\nlog: {colour: red}\n", options).name, "a");
  EXPECT_EQ(error("colour: red\n", options), "node.yml:1:1: name: missing, expected a text");
}

TEST(YamlReaderTest, LetsAProgramFindProblemsOfItsOwn) {
  const auto problem = [](std::string_view text) -> std::string {
    try {
      int first = 0;
      Located<int> second;
      bool called = false;
      YamlReader::parse(text, "f.yml").read(called, [&](const YamlValue& root, bool&) {
        root.mapping([&](YamlMapping& yaml) {
          yaml.section("inner", [&](YamlMapping& inner) {
            called = true;
            inner.optional("first", first);
            inner.optional("second", second);
          });
          if (!yaml.has("inner")) yaml.refuse("inner", "is needed here");
          if (*second < first) yaml.refuse(second.place, "below the first");
          if (first == 7) yaml.refuse("inner", "the first is 7");
        });
      });
      return called ? "called" : "not called";
    } catch (const ConfigurationError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(problem("inner: {first: 1, second: 2}"), "called");
  EXPECT_EQ(problem("inner: {first: 1, second: 0}"), "f.yml:1:27: inner.second: below the first");
  EXPECT_EQ(problem("inner: {first: 7, second: 8}"), "f.yml:1:8: inner: the first is 7");
  EXPECT_EQ(problem("inner: {firts: 7}"), "f.yml:1:9: inner.firts: unknown key; did you mean first?");
  EXPECT_EQ(problem("inner: 5"), "f.yml:1:8: inner: expected a mapping, found \"5\"");
  EXPECT_EQ(problem("{}"), "f.yml:1:1: inner: is needed here");
}

// A registration's url is a text or an explicit null; leaving it out is a mistake.
TEST(YamlReaderTest, TellsNullFromMissing) {
  const auto url = [](std::string_view text) -> std::string {
    try {
      std::optional<std::string> target = "unread";
      YamlReader::parse(text, "f.yml").read(target, [](const YamlValue& root, std::optional<std::string>& into) {
        root.mapping([&](YamlMapping& yaml) { yaml.required("url", into); });
      });
      return target.value_or("null");
    } catch (const ConfigurationError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(url("url: http://a"), "http://a");
  EXPECT_EQ(url("url: null"), "null");
  EXPECT_EQ(url("url:"), "null");
  EXPECT_EQ(url("{}"), "f.yml:1:1: url: missing, expected a text");
}

TEST(YamlReaderTest, RefusesAKeyThatIsGivenTwice) {
  EXPECT_EQ(error("name: a\nlog: {}\nname: b\n"), "node.yml:3:1: name: already given in line 1");
  EXPECT_EQ(error("name: a\nlog:\n  level: info\n  level: info\n"), "node.yml:4:3: log.level: already given in line 3");
  EXPECT_EQ(error("name: a\ncolour: 1\ncolour: 2\n", {.ignore_unknown_keys = true}),
            "node.yml:3:1: colour: already given in line 2");
}

TEST(YamlReaderTest, SaysWhereItIsNoYaml) {
  EXPECT_EQ(error("name: a: b\n"), "node.yml:1:8: name: not valid YAML: illegal map value");
  EXPECT_EQ(error("name: [a, b\nlog: c\n"), "node.yml:2:4: name[2]: not valid YAML: end of sequence flow not found");
  EXPECT_THAT(error("name: a\n\tlog: c\n"), StartsWith("node.yml:2:1: "));
  EXPECT_EQ(error("name: @a\n"), "node.yml:1:7: name: not valid YAML: unknown token");
  EXPECT_EQ(error("name: \"a\nlog: c\n"), "node.yml:1:7: name: the text in quotes that begins here does not end");
  EXPECT_EQ(error("name: 'a\nlog: c''\n"), "node.yml:1:7: name: the text in quotes that begins here does not end");
  EXPECT_EQ(error("name: &x \"a\n"), "node.yml:1:7: name: the text in quotes that begins here does not end");
  EXPECT_EQ(
      error("listen: *:80\n"),
      "node.yml:1:9: listen: not valid YAML: the referenced anchor is not defined; a text that begins with * is to "
      "stand in quotes");
}

// yaml-cpp reads on where there is nothing more, and counts that.
TEST(YamlReaderTest, SaysOfNothingThatItIsBeyondTheEndOfTheText) {
  EXPECT_THAT(error("name: \"a\\"), StartsWith("node.yml:1:10: name: not valid YAML: unknown escape character"));
  EXPECT_THAT(error("name: \"\xc3\xa4\\"), StartsWith("node.yml:1:10: name: not valid YAML: unknown escape character"));
  EXPECT_THAT(error("log: c\nname: \"a\\x4"), StartsWith("node.yml:2:12: name: not valid YAML: bad character"));
  EXPECT_THAT(error("uiltotoeex: \"@i0rxample\\"), StartsWith("node.yml:1:25: uiltotoeex: not valid YAML: "));
}

TEST(YamlReaderTest, CountsColumnsInCharacters) {
  EXPECT_EQ(error("{\"näme\": 1, name: []}"),
            "node.yml:1:2: näme: unknown key; known here: listen, log, name, services\n"
            "node.yml:1:19: name: expected a text, found a list");
}

TEST(YamlReaderTest, SaysWhatItDoesNotSupport) {
  EXPECT_EQ(error("name: !secret a\n"),
            "node.yml:1:7: name: tags are not supported; a text that begins with ! is to stand in quotes");
  EXPECT_EQ(error("a: &a {b: c}\nname: x\nlog:\n  <<: *a\n"), "node.yml:4:3: log: merge keys (<<) are not supported");
  EXPECT_EQ(error("name: a\n---\nname: b\n"), "node.yml:2:1: a second document begins here: a file holds one");
  EXPECT_EQ(error("? [a]\n: b\n"), "node.yml:1:3: expected a text as a key");
  EXPECT_EQ(error("~: b\n"), "node.yml:1:1: expected a text as a key");
  EXPECT_EQ(read("---\nname: a\n...\n").name, "a");
}

TEST(YamlReaderTest, RefusesWhatIsNoText) {
  EXPECT_EQ(error("name: a\nlog: \xff\n"), "node.yml:2:6: not UTF-8 text");
  EXPECT_EQ(error("name: \xed\xa0\x80\n"), "node.yml:1:7: not UTF-8 text");
  EXPECT_EQ(error("name: \xc0\x80\n"), "node.yml:1:7: not UTF-8 text");
  EXPECT_EQ(error(std::string("name: a\0b\n", 10)), "node.yml:1:8: control character U+0000");
  EXPECT_EQ(error("name: a\n\x04"), "node.yml:2:1: control character U+0004");
  EXPECT_EQ(error(std::string_view("\xff\xfen\0a\0", 6)), "node.yml:1:1: not UTF-8 text");
  EXPECT_EQ(read("\xef\xbb\xbfname: a\r\n").name, "a");
}

// Goal: who is told of a problem may have a terminal, and that must not do what a configuration says.
TEST(YamlReaderTest, TellsNoControlCharacters) {
  EXPECT_EQ(
      error("name: \"a\"\nlog: {level: \"\\e\\u009b2J\"}\n"),
      R"(node.yml:2:14: log.level: expected debug, info, warning, error, critical or off, found "\x1b\x9b2J" in quotes)");
  EXPECT_EQ(error("name: a\n\"b\\u0085c\": 1\n"),
            R"(node.yml:2:1: "b\x85c": unknown key; known here: listen, log, name, services)");
  EXPECT_EQ(
      error("name: a\nlisten: [\"\\u009bx:1\"]\n"),
      "node.yml:2:10: listen[0]: address '  x': expected an IP address, localhost or *; other names are not looked up");
}

TEST(YamlReaderTest, ReadsAliases) {
  const Settings settings = read("name: &n alpha\nservices:\n- {id: *n, command: &c [a, b]}\n- {id: b, command: *c}\n");
  EXPECT_EQ(settings.services.at(0).id, "alpha");
  EXPECT_THAT(settings.services.at(1).command, ElementsAre("a", "b"));
}

TEST(YamlReaderTest, RefusesAnAliasInsideOfWhatItStandsFor) {
  EXPECT_EQ(error("name: &a [*a]\n"), "node.yml:1:11: name[0]: an alias inside of what it stands for");
}

TEST(YamlReaderTest, BoundsWhatAliasesStandFor) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 20; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    const std::string own = "a" + std::to_string(i);
    bomb += own + ": &" + own + " [" + before;
    for (int j = 0; j < 9; ++j) (bomb += ",") += before;
    bomb += "]\n";
  }
  EXPECT_EQ(error(bomb), "node.yml:6:22: a5[3]: more than 500000 values, those that aliases stand for included");
}

TEST(YamlReaderTest, BoundsNesting) {
  const std::string deep = "a: " + std::string(63, '[') + std::string(63, ']') + "\n";
  EXPECT_EQ(error(deep, {.ignore_unknown_keys = true}), "node.yml:1:1: name: missing, expected a text");
  const std::string deeper = "a: " + std::string(64, '[') + std::string(64, ']') + "\n";
  EXPECT_THAT(error(deeper), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(error("a: &a " + std::string(40, '[') + std::string(40, ']') + "\nb: " + std::string(30, '[') + "*a" +
                    std::string(30, ']') + "\n"),
              HasSubstr("nested more than 64 deep"));
  std::string block;
  for (std::size_t i = 0; i < 100; ++i) block += std::string(i, ' ') + "a:\n";
  EXPECT_THAT(error(block), HasSubstr("nested more than 64 deep"));
}

TEST(YamlReaderTest, BoundsTheNumberOfValues) {
  std::string many;
  for (int i = 0; i < 600'000; ++i) many += "- a\n";
  EXPECT_THAT(error(many), HasSubstr("more than 500000 values"));
  EXPECT_THAT(error("[" + std::string(1'100'000, ',')), HasSubstr("more than 1000000 brackets, braces and commas"));
}

// Goal: no time that grows with the square of the input, or worse.
TEST(YamlReaderTest, IsNotHeldUpByHostileText) {
  const std::size_t size = 100'000;
  const auto repeat = [](const std::string& part, std::size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += part;
    return text;
  };
  for (const char* part : {"[",  "{", "- ",  "? ",          "a: ",  "[{",      "&a ", "!",       "\"", "'",     "[?",
                           "[:", "#", "|\n", ">\n ",        "\n",   " ",       "a ",  "a\n ",    "%",  "---\n", "...\n",
                           "*",  ",", "{a:", "a: |\n  b\n", "'a\n", "\"\\x41", "é",   "- a: b\n"}) {
    const std::string text = repeat(part, size);
    EXPECT_NE(error(text), "") << part;
    EXPECT_NE(error("name: " + text, {.ignore_unknown_keys = true}) + part, "");
  }
  std::string unknown = "{name: a";
  for (int i = 0; i < 50'000; ++i) unknown += ", servicez" + std::to_string(i) + ": 1";
  EXPECT_THAT(error(unknown + "}"), HasSubstr("and 49980 more"));
}

TEST(YamlReaderTest, TellsContentsApartByTheirVersion) {
  const auto version = [](std::string_view text) { return YamlReader::parse(text, "x").metadata().version; };
  EXPECT_EQ(version("name: a"), version("name: a"));
  EXPECT_NE(version("name: a"), version("name: b"));
  EXPECT_NE(version("name: a"), version("name: a # better"));
  EXPECT_EQ(version("name: a").size(), 16U);
}

class YamlFileTest : public ::testing::Test {
 protected:
  void write(const std::string& name, std::string_view text) { std::ofstream(directory / name) << text; }
  /// As error(), with the directory's own path left out.
  std::string error_of(const std::string& path, const YamlOptions& options = {}) const {
    try {
      YamlReader::open(path, options).read<Settings>();
    } catch (const ConfigurationError& problem) {
      std::string what = problem.what();
      for (std::size_t at = 0; (at = what.find(directory.path() + "/")) != std::string::npos;) {
        what.erase(at, directory.path().size() + 1);
      }
      return what;
    }
    return "";
  }
  Settings open() const { return YamlReader::open(directory.path()).read<Settings>(); }

  TemporaryDirectory directory;
};

TEST_F(YamlFileTest, IsReadAsAWhole) {
  write("node.yml", "name: alpha\n");
  const auto loaded = load_yaml<Settings>(directory / "node.yml");
  EXPECT_EQ(loaded.configuration.name, "alpha");
  EXPECT_EQ(loaded.metadata.name, directory / "node.yml");
  EXPECT_EQ(loaded.metadata.version, YamlReader::parse("name: alpha\n", "x").metadata().version);
}

TEST_F(YamlFileTest, IsRefusedIfItCannotBeRead) {
  EXPECT_EQ(error_of(directory / "node.yml"), "node.yml: cannot be read: No such file or directory");
  ASSERT_EQ(::mkfifo((directory / "pipe.yml").c_str(), 0600), 0);
  EXPECT_EQ(error_of(directory / "pipe.yml"), "pipe.yml: cannot be read: not a regular file");
  EXPECT_EQ(error_of("/dev/zero"), "/dev/zero: cannot be read: not a regular file");
  write("secret.yml", "name: a\n");
  ::chmod((directory / "secret.yml").c_str(), 0);
  EXPECT_EQ(in_child([&] {
              // Root may read everything.
              return ::geteuid() == 0 && ::setresuid(4242, 4242, 4242) != 0 ? "" : error_of(directory / "secret.yml");
            }),
            "secret.yml: cannot be read: Permission denied");
}

TEST_F(YamlFileTest, IsRefusedIfItIsTooLarge) {
  write("node.yml", "name: alpha\n");
  EXPECT_EQ(error_of(directory / "node.yml", {.max_bytes = 12}), "");
  EXPECT_EQ(error_of(directory / "node.yml", {.max_bytes = 11}), "node.yml: too large: the limit is 11 bytes");
  EXPECT_EQ(error("name: alpha\n", {.max_bytes = 11}), "node.yml: too large: the limit is 11 bytes");
  EXPECT_EQ(YamlOptions().max_bytes, 16U << 20);
}

TEST_F(YamlFileTest, IsOneOfSeveralInADirectory) {
  write("10-node.yaml", "name: alpha\nlog: {level: info}\nservices:\n- {id: a, command: [a]}\n");
  write("20-more.yml", "log: {format: json}\nservices:\n- {id: b, command: [b]}\n");
  write("30-nothing.yml", "# nothing\n");
  write(".hidden.yml", "name: hidden\n");
  write("README", "name: readme\n");
  const Settings settings = open();
  EXPECT_EQ(settings.name, "alpha");
  EXPECT_EQ(settings.log.level, LogLevel::Info);
  EXPECT_EQ(settings.log.format, LogFormat::Json);
  ASSERT_EQ(settings.services.size(), 2U);
  EXPECT_EQ(settings.services[0].id, "a");
  EXPECT_EQ(settings.services[1].id, "b");
  EXPECT_THAT(YamlReader::open(directory.path()).files(),
              ElementsAre(directory / "10-node.yaml", directory / "20-more.yml", directory / "30-nothing.yml"));
}

// Goal: what was read once can be read again when the files are gone, and is the same configuration.
TEST_F(YamlFileTest, MayBeReadAgainFromItsTexts) {
  write("a.yml", "name: alpha\n");
  write("b.yml", "services:\n- {id: a, command: [a]}\n- {id: b}\n");
  for (const std::string& path : {directory / "a.yml", directory.path()}) {
    const YamlTexts texts = YamlTexts::read(path);
    const std::string version = YamlReader::open(path).metadata().version;
    std::vector<YamlTexts::File> files = texts.files;
    const YamlTexts copy{texts.path, texts.directory, files};
    EXPECT_EQ(YamlReader::parse(copy).metadata().version, version);
    EXPECT_EQ(YamlReader::parse(copy).metadata().name, path);
  }
  const YamlTexts texts = YamlTexts::read(directory.path());
  std::filesystem::remove(directory / "a.yml");
  std::filesystem::remove(directory / "b.yml");
  try {
    YamlReader::parse(texts).read<Settings>();
    FAIL() << "read though a command is missing";
  } catch (const ConfigurationError& error) {
    EXPECT_THAT(error.what(), StartsWith(directory / "b.yml:3:3: services[1].command"));
  }
}

TEST_F(YamlFileTest, IsNamedWithTheOtherThatGivesTheSameKey) {
  write("a.yml", "name: alpha\nlog:\n  level: info\n");
  write("b.yml", "log: {level: info}\nname: beta\nservices: []\n");
  write("c.yml", "services: {}\n");
  EXPECT_EQ(error_of(directory.path()),
            "b.yml:1:7: log.level: already given by a.yml:3:3\n"
            "b.yml:2:1: name: already given by a.yml:1:1\n"
            "c.yml:1:1: services: already given by b.yml:3:1");
}

TEST_F(YamlFileTest, TellsItsProblemsTogetherWithThoseOfTheOthers) {
  write("a.yml", "name: [\n");
  write("b.yml", "name: a: b\n");
  write("c.yml", "- a\n");
  EXPECT_THAT(error_of(directory.path()),
              ::testing::AllOf(StartsWith("a.yml:"), HasSubstr("\nb.yml:1:8: name: not valid YAML: illegal map value"),
                               HasSubstr("\nc.yml:1:1: expected a mapping, as in each file of a directory")));
  write("a.yml", "name: a\nlog: {levels: 1}\n");
  write("b.yml", "services: [1]\n");
  write("c.yml", "");
  EXPECT_EQ(error_of(directory.path()),
            "a.yml:2:7: log.levels: unknown key; did you mean level?\n"
            "b.yml:1:12: services[0]: expected a mapping, found \"1\"");
}

TEST_F(YamlFileTest, CountsAgainstTheLimitOfTheDirectory) {
  write("a.yml", "name: alpha\n");
  write("b.yml", "log: {}\n");
  EXPECT_EQ(error_of(directory.path(), {.max_bytes = 19}), "b.yml: too large: the limit is 19 bytes");
}

TEST_F(YamlFileTest, IsMissedInAnEmptyDirectory) {
  EXPECT_EQ(error_of(directory / ""), ": no *.yaml or *.yml file in this directory");
}

TEST_F(YamlFileTest, ChangesTheVersionOfItsDirectory) {
  write("a.yml", "name: alpha\n");
  write("b.yml", "log: {}\n");
  const std::string before = YamlReader::open(directory.path()).metadata().version;
  EXPECT_EQ(YamlReader::open(directory / "").metadata().version, before);
  write("b.yml", "log: {level: info}\n");
  EXPECT_NE(YamlReader::open(directory.path()).metadata().version, before);
}

}  // namespace
}  // namespace snowfox
