#include <snowfox/context/yaml_forms.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/context/yaml_reader.h>

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

enum class Restart { Never, OnFailure, Always };

const auto restart =
    one_of<Restart>({{"never", Restart::Never}, {"on-failure", Restart::OnFailure}, {"always", Restart::Always}});

/// What `value: TEXT` is read as, by `form`.
template <typename T, typename Form = ReadYaml>
T read(const std::string& text, const Form& form = {}) {
  T target{};
  YamlReader::parse("value: " + text, "f.yml").read(target, [&](const YamlValue& root, T& into) {
    root.mapping([&](YamlMapping& mapping) { mapping.required("value", into, form); });
  });
  return target;
}

/// The error of reading it so, without the place that is always the same.
template <typename T, typename Form = ReadYaml>
std::string error(const std::string& text, const Form& form = {}) {
  try {
    read<T>(text, form);
  } catch (const ConfigurationError& problem) {
    const std::string what = problem.what();
    const std::string place = "f.yml:1:8: value: ";
    return what.starts_with(place) ? what.substr(place.size()) : what;
  }
  return "";
}

TEST(YamlFormsTest, ReadTexts) {
  EXPECT_EQ(read<std::string>("abc"), "abc");
  EXPECT_EQ(read<std::string>("\"a\\tb\""), "a\tb");
  EXPECT_EQ(read<std::string>("'it''s'"), "it's");
  EXPECT_EQ(read<std::string>("|\n  two\n  lines\n"), "two\nlines\n");
  EXPECT_EQ(read<std::string>("1.10"), "1.10");
  EXPECT_EQ(read<std::string>("true"), "true");
  EXPECT_EQ(read<std::string>("\"\""), "");
  EXPECT_EQ(read<std::string>("!!str 5"), "5");
  EXPECT_EQ(error<std::string>("[a]"), "expected a text, found a list");
  EXPECT_EQ(error<std::string>("{a: b}"), "expected a text, found a mapping");
  EXPECT_EQ(error<std::string>("null"), "f.yml:1:1: value: expected a text, found nothing");
  EXPECT_EQ(error<std::string>("~"), "f.yml:1:1: value: expected a text, found nothing");
  EXPECT_EQ(read<std::string>("a", not_empty), "a");
  EXPECT_EQ(error<std::string>("''", not_empty), "expected a text that is not empty, found \"\" in quotes");
}

TEST(YamlFormsTest, ReadTruths) {
  for (const char* yes : {"true", "True", "TRUE", "yes", "on"}) EXPECT_TRUE(read<bool>(yes)) << yes;
  for (const char* no : {"false", "False", "FALSE", "no", "off"}) EXPECT_FALSE(read<bool>(no)) << no;
  EXPECT_EQ(error<bool>("1"), "expected true or false, found \"1\"");
  EXPECT_EQ(error<bool>("'true'"), "expected true or false, found \"true\" in quotes");
  EXPECT_EQ(error<bool>("[]"), "expected true or false, found a list");
}

TEST(YamlFormsTest, ReadIntegers) {
  EXPECT_EQ(read<int>("42"), 42);
  EXPECT_EQ(read<int>("-42"), -42);
  EXPECT_EQ(read<int>("+42"), 42);
  EXPECT_EQ(read<int>("0x1F"), 31);
  EXPECT_EQ(read<int>("0o17"), 15);
  EXPECT_EQ(read<std::uint64_t>("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(read<std::int64_t>("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(error<std::int64_t>("9223372036854775808"), "expected an integer, found \"9223372036854775808\"");
  EXPECT_EQ(error<std::uint64_t>("-1"), "expected an integer of at least 0, found \"-1\"");
  EXPECT_EQ(error<std::uint16_t>("65536"), "expected an integer from 0 to 65535, found \"65536\"");
  EXPECT_EQ(error<std::int8_t>("-129"), "expected an integer from -128 to 127, found \"-129\"");
  for (const char* nonsense : {"x", "1x", "1.5", "010", "1_000", "99999999999999999999999", "0x"}) {
    EXPECT_THAT(error<int>(nonsense),
                ::testing::StartsWith("expected an integer from -2147483648 to 2147483647, found"));
  }
  EXPECT_EQ(error<std::uint16_t>("'80'"), "expected an integer from 0 to 65535, found \"80\" in quotes");
}

TEST(YamlFormsTest, ReadIntegersWithinBounds) {
  EXPECT_EQ(read<int>("1", between(1, 5)), 1);
  EXPECT_EQ(read<int>("5", between(1, 5)), 5);
  EXPECT_EQ(error<int>("0", between(1, 5)), "expected an integer from 1 to 5, found \"0\"");
  EXPECT_EQ(error<int>("6", between(1, 5)), "expected an integer from 1 to 5, found \"6\"");
  EXPECT_EQ(read<int>("-3", between(-5, -2)), -3);
  EXPECT_EQ(error<int>("-6", between(-5, -2)), "expected an integer from -5 to -2, found \"-6\"");
  EXPECT_EQ(error<int>("-1", between(-5, -2)), "expected an integer from -5 to -2, found \"-1\"");
  // Bounds wider than the variable do not make it wider.
  EXPECT_EQ(error<std::uint8_t>("256", between(-10, 1000)), "expected an integer from 0 to 255, found \"256\"");
}

TEST(YamlFormsTest, ReadNumbers) {
  EXPECT_EQ(read<double>("1.5"), 1.5);
  EXPECT_EQ(read<double>("-2e3"), -2000);
  EXPECT_EQ(read<double>("7"), 7);
  for (const char* nonsense : {"x", ".inf", ".nan", "nan", "inf", "1e999", "1.5s"}) {
    EXPECT_THAT(error<double>(nonsense), ::testing::StartsWith("expected a number, found"));
  }
  EXPECT_EQ(error<double>("1.5", between(0.0, 1.0)), "expected a number from 0 to 1, found \"1.5\"");
}

TEST(YamlFormsTest, ReadDurations) {
  EXPECT_EQ(read<Duration>("30s"), 30s);
  EXPECT_EQ(read<Duration>("500ms"), 500ms);
  EXPECT_EQ(read<Duration>("2m"), 2min);
  EXPECT_EQ(read<Duration>("1h"), 1h);
  EXPECT_EQ(read<Duration>("1d"), 24h);
  EXPECT_EQ(read<Duration>("7us"), 7us);
  EXPECT_EQ(read<Duration>("7ns"), 7ns);
  EXPECT_EQ(read<Duration>("30"), 30s);
  EXPECT_EQ(read<Duration>("0.5"), 500ms);
  EXPECT_EQ(read<Duration>("1.5h"), 90min);
  EXPECT_EQ(read<Duration>("30 s"), 30s);
  EXPECT_EQ(read<Duration>("\"30s\""), 30s);
  EXPECT_EQ(read<Duration>("0"), 0s);
  EXPECT_EQ(read<std::chrono::seconds>("2m"), 120s);
  EXPECT_EQ(read<std::chrono::duration<double>>("1500ms"), 1.5s);
  for (const char* nonsense : {"x", "s", "-5s", "5 minutes", "1h30m", "5S", "1e3", "300000d", "0.0000000001", "1.s"}) {
    EXPECT_THAT(error<Duration>(nonsense),
                ::testing::StartsWith("expected a duration such as 30s, 500ms or 2m, found"));
  }
  EXPECT_EQ(error<Duration>(""), "f.yml:1:1: value: expected a duration such as 30s, 500ms or 2m, found nothing");
  EXPECT_EQ(error<std::chrono::seconds>("500ms"), "expected a duration in multiples of 1s, found \"500ms\"");
}

TEST(YamlFormsTest, ReadDurationsWithinBounds) {
  EXPECT_EQ(read<std::chrono::seconds>("1h", between(1s, 1h)), 1h);
  EXPECT_EQ(error<std::chrono::seconds>("0", between(1s, 1h)), "expected a duration from 1s to 1h, found \"0\"");
  EXPECT_EQ(error<std::chrono::seconds>("61m", between(1s, 1h)), "expected a duration from 1s to 1h, found \"61m\"");
}

TEST(YamlFormsTest, ReadSizes) {
  EXPECT_EQ(read<std::size_t>("4MiB", in_bytes()), 4U << 20);
  EXPECT_EQ(read<std::size_t>("256KB", in_bytes()), 256'000U);
  EXPECT_EQ(read<std::size_t>("1G", in_bytes()), 1U << 30);
  EXPECT_EQ(read<std::size_t>("512k", in_bytes()), 512U << 10);
  EXPECT_EQ(read<std::size_t>("4194304", in_bytes()), 4'194'304U);
  EXPECT_EQ(read<std::size_t>("7B", in_bytes()), 7U);
  EXPECT_EQ(read<std::size_t>("1.5KiB", in_bytes()), 1536U);
  EXPECT_EQ(read<std::size_t>("2TiB", in_bytes()), 2ULL << 40);
  for (const char* nonsense : {"x", "-1", "4 Mi", "1.0001KiB", "99999999999T", "1e3"}) {
    EXPECT_THAT(error<std::size_t>(nonsense, in_bytes()),
                ::testing::StartsWith("expected a size such as 4MiB, 256KB or a number of bytes, found"));
  }
  EXPECT_EQ(error<std::size_t>("1M", in_bytes(1, 1 << 16)), "expected a size from 1B to 64KiB, found \"1M\"");
  EXPECT_EQ(error<std::uint16_t>("64KiB", in_bytes()), "expected a size of at most 65535B, found \"64KiB\"");
}

TEST(YamlFormsTest, ReadPermissions) {
  EXPECT_EQ(read<unsigned>("0660", permissions()), 0660U);
  EXPECT_EQ(read<unsigned>("600", permissions()), 0600U);
  EXPECT_EQ(read<unsigned>("0o644", permissions()), 0644U);
  EXPECT_EQ(read<unsigned>("\"0660\"", permissions()), 0660U);
  for (const char* nonsense : {"rw", "0888", "1777", "-1"}) {
    EXPECT_THAT(error<unsigned>(nonsense, permissions()),
                ::testing::StartsWith("expected permissions in octal, such as 0660, found"));
  }
}

TEST(YamlFormsTest, ReadNames) {
  EXPECT_EQ(read<Restart>("on-failure", restart), Restart::OnFailure);
  EXPECT_EQ(read<Restart>("\"always\"", restart), Restart::Always);
  EXPECT_EQ(error<Restart>("sometimes", restart), "expected never, on-failure or always, found \"sometimes\"");
  EXPECT_EQ(error<Restart>("[]", restart), "expected never, on-failure or always, found a list");
  EXPECT_EQ(read<LogLevel>("warning"), LogLevel::Warning);
  EXPECT_EQ(error<LogLevel>("loud"), "expected debug, info, warning, error, critical or off, found \"loud\"");
  EXPECT_EQ(error<LogFormat>("xml"), "expected text or json, found \"xml\"");
}

TEST(YamlFormsTest, ReadAddresses) {
  EXPECT_EQ(read<Address>("unix:/run/node.sock"), Address::unix_socket("/run/node.sock"));
  EXPECT_EQ(read<Address>("7000"), Address::parse("127.0.0.1:7000"));
  EXPECT_EQ(read<Address>("\"[::1]:7000\""), Address::parse("[::1]:7000"));
  EXPECT_EQ(error<Address>("example.org:80"),
            "address 'example.org': expected an IP address, localhost or *; other names are not looked up");
  EXPECT_EQ(error<Address>("[1]"), "expected an address such as unix:PATH or HOST:PORT, found a list");
}

TEST(YamlFormsTest, ReadLists) {
  EXPECT_THAT(read<std::vector<int>>("[1, 2]"), ElementsAre(1, 2));
  EXPECT_THAT(read<std::vector<std::string>>("\n- a\n- b"), ElementsAre("a", "b"));
  EXPECT_THAT(read<std::vector<int>>(""), IsEmpty());
  EXPECT_THAT(read<std::vector<bool>>("[true, false]"), ElementsAre(true, false));
  EXPECT_THAT(read<std::vector<std::size_t>>("[1K, 2K]", each(in_bytes())), ElementsAre(1024, 2048));
  EXPECT_THAT(read<std::vector<std::vector<int>>>("[[1], []]"), ElementsAre(ElementsAre(1), IsEmpty()));
  EXPECT_EQ(error<std::vector<int>>("a"), "expected a list, found \"a\"");
  EXPECT_EQ(error<std::vector<std::uint8_t>>("[1, x, 300]"),
            "f.yml:1:12: value[1]: expected an integer from 0 to 255, found \"x\"\n"
            "f.yml:1:15: value[2]: expected an integer from 0 to 255, found \"300\"");
}

TEST(YamlFormsTest, ReadMappingsOfNames) {
  EXPECT_THAT((read<std::map<std::string, int>>("{a: 1, b: 2}")), ElementsAre(Pair("a", 1), Pair("b", 2)));
  EXPECT_THAT((read<std::map<std::string, std::size_t>>("{a: 1K}", each(in_bytes()))), ElementsAre(Pair("a", 1024)));
  EXPECT_THAT((read<std::map<std::string, int>>("")), IsEmpty());
  EXPECT_EQ((error<std::map<std::string, int>>("[1]")), "expected a mapping, found a list");
  EXPECT_EQ((error<std::map<std::string, std::uint8_t>>("{a b: x}")),
            "f.yml:1:14: value.\"a b\": expected an integer from 0 to 255, found \"x\"");
}

TEST(YamlFormsTest, ReadNullAsNoValueWhereThatIsAllowed) {
  EXPECT_EQ(read<std::optional<std::string>>("null"), std::nullopt);
  EXPECT_EQ(read<std::optional<std::string>>("a"), "a");
  EXPECT_EQ(error<std::optional<int>>("a"), "expected an integer from -2147483648 to 2147483647, found \"a\"");
}

TEST(YamlFormsTest, TellWhereAValueStands) {
  const auto located_value = read<Located<int>>("5");
  EXPECT_EQ(*located_value, 5);
  EXPECT_EQ(located_value.place.str(), "f.yml:1:8: value");
  EXPECT_EQ((read<Located<std::size_t>>("1K", located(in_bytes())).place.str()), "f.yml:1:8: value");
}

TEST(YamlFormsTest, NeverShowASecret) {
  EXPECT_EQ(read<std::string>("hunter2", secret()), "hunter2");
  EXPECT_EQ(error<int>("hunter2", secret()),
            "expected an integer from -2147483648 to 2147483647, found something else, which is secret");
  EXPECT_EQ(error<Address>("hunter2", secret()), "not valid, and secret");
  EXPECT_EQ(error<std::string>("hunter2", secret([](const YamlValue& value, std::string&) {
                                 throw std::runtime_error("bad password: " + std::string(value.text()));
                               })),
            "not valid, and secret");
  EXPECT_EQ(
      error<std::vector<int>>("[hunter2]", secret()),
      "f.yml:1:9: value[0]: expected an integer from -2147483648 to 2147483647, found something else, which is secret");
  EXPECT_EQ(error<std::string>("!hunter2", secret()),
            "tags are not supported; a text that begins with ! is to stand in quotes");
  EXPECT_EQ(error<std::string>("*hunter2", secret()),
            "not valid YAML: the referenced anchor is not defined; a text that begins with * is to stand in quotes");
  EXPECT_EQ(error<std::string>("\"hunter2\n", secret()), "the text in quotes that begins here does not end");
}

TEST(YamlFormsTest, TurnWhatAFormThrowsIntoAProblem) {
  EXPECT_EQ(error<std::string>("(",
                               [](const YamlValue& value, std::string&) {
                                 throw std::invalid_argument("no regular expression: " + std::string(value.text()));
                               }),
            "no regular expression: (");
  EXPECT_EQ(error<std::string>("other.yml",
                               [](const YamlValue&, std::string&) {
                                 throw ConfigurationError({{"other.yml", 2, 3, "id"}, "missing, expected a text"});
                               }),
            "other.yml:2:3: id: missing, expected a text");
}

TEST(YamlFormsTest, ShowWhatTheyFoundOnOneShortLine) {
  EXPECT_EQ(error<Address>("\"a\nb\""),
            "address 'a b': expected unix:PATH, tcp:HOST:PORT, HOST:PORT or PORT, with a port of 0 to 65535");
  EXPECT_EQ(error<bool>("\"a\\nb\\x01\\\"\""), "expected true or false, found \"a\\nb\\x01\\\"\" in quotes");
  EXPECT_EQ(error<bool>(std::string(100, 'x')), "expected true or false, found \"" + std::string(60, 'x') + "…\"");
  // Not cut in the middle of a character.
  const std::string letters(59, 'x');
  EXPECT_EQ(error<bool>(letters + "ää"), "expected true or false, found \"" + letters + "…\"");
}

}  // namespace
}  // namespace snowfox
