#include <snowfox/core/correlation_id.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace snowfox {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::ThrowsMessage;

TEST(CorrelationIdTest, IsEmptyUnlessGivenAText) {
  const CorrelationId id;
  EXPECT_TRUE(id.empty());
  EXPECT_EQ(id.text(), "");
  EXPECT_EQ(id, CorrelationId());
}

TEST(CorrelationIdTest, HoldsTheUsualSpellings) {
  for (const char* text : {"8e6c7e1e-8a4b-4c7e-9a51-0d0b0f3f5a6c", "01ARZ3NDEKTSV4RRFFQ69G5FAV",
                           "4bf92f3577b34da6a3ce929d0e0e4736", "client-7/42", "x"}) {
    EXPECT_EQ(CorrelationId(text).text(), text);
    EXPECT_EQ(CorrelationId(text).str(), text);
    EXPECT_EQ(CorrelationId::parse(text), CorrelationId(text));
  }
}

TEST(CorrelationIdTest, TakesExactlyAsManyBytesAsItSays) {
  const std::string most(CorrelationId::kMaxBytes, 'm');
  EXPECT_EQ(CorrelationId(most).text(), most);
  EXPECT_TRUE(CorrelationId::parse(most));
  EXPECT_FALSE(CorrelationId::parse(most + "m"));
  EXPECT_FALSE(CorrelationId::parse(""));
  EXPECT_THAT([&] { CorrelationId(most + "m"); }, ThrowsMessage<std::invalid_argument>(HasSubstr("39 bytes, not 40")));
  EXPECT_THAT([&] { CorrelationId(""); }, ThrowsMessage<std::invalid_argument>(HasSubstr("empty")));
}

// Goal: foreign bytes of any kind are an id like another, and distinct texts are distinct ids.
TEST(CorrelationIdTest, TakesATextOfEachLength) {
  const std::string letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  CorrelationId id("before");
  for (std::size_t size = 1; size <= CorrelationId::kMaxBytes; ++size) {
    const std::string text = letters.substr(0, size);
    ASSERT_TRUE(id.set(text));
    EXPECT_EQ(id.text(), text);
    EXPECT_EQ(id.hash(), CorrelationId(text).hash());
  }
}

TEST(CorrelationIdTest, StaysWhatItIsIfTheTextIsNone) {
  CorrelationId id = CorrelationId("before").hashed();
  EXPECT_FALSE(id.set(""));
  EXPECT_FALSE(id.set(std::string(CorrelationId::kMaxBytes + 1, 'x')));
  EXPECT_EQ(id, CorrelationId("before"));
  EXPECT_EQ(id.hash(), CorrelationId("before").hash());
}

TEST(CorrelationIdTest, TellsApartTextsThatLookAlike) {
  using namespace std::string_literals;
  const std::vector<std::string> texts{"a",
                                       "a\0"s,
                                       "\0a"s,
                                       "\0"s,
                                       "\0\0"s,
                                       "\xff\xfe",
                                       "A",
                                       "a ",
                                       "aaaaaaaa",
                                       "aaaaaaa\0"s,
                                       "aaaaaaaaaaaaaaaa",
                                       "aaaaaaaaaaaaaaaa\0"s};
  for (const std::string& left : texts) {
    for (const std::string& right : texts) {
      EXPECT_EQ(CorrelationId(left) == CorrelationId(right), left == right);
      EXPECT_EQ(CorrelationId(left) < CorrelationId(right), left < right);
    }
    EXPECT_EQ(CorrelationId(left).hash(), CorrelationId(left).hash());
  }
}

// Goal: a hash table of ids stays a table. Every length, and every place in which two texts may differ, counts.
TEST(CorrelationIdTest, HashesSimilarTextsApart) {
  std::unordered_set<std::uint64_t> hashes;
  std::size_t made = 0;
  for (std::size_t length = 1; length <= CorrelationId::kMaxBytes; ++length) {
    for (std::size_t place = 0; place < length; ++place) {
      for (const char c : {'0', '1', 'x'}) {
        std::string text(length, 'a');
        text[place] = c;
        hashes.insert(CorrelationId(text).hash());
        ++made;
      }
    }
  }
  EXPECT_EQ(hashes.size(), made);
  // The low bits, which choose the place in a table, are spread as well: no bucket of 1024 is very full.
  std::vector<int> buckets(1024);
  for (int i = 0; i < 102'400; ++i) ++buckets[CorrelationId("client-7/" + std::to_string(i)).hash() % buckets.size()];
  EXPECT_LT(*std::max_element(buckets.begin(), buckets.end()), 200);
}

TEST(CorrelationIdTest, IsAValueThatIsCopied) {
  CorrelationId copy("first");
  const CorrelationId first = copy;
  copy = CorrelationId("second");
  EXPECT_EQ(first.text(), "first");
  EXPECT_NE(copy, first);
}

TEST(CorrelationIdGeneratorTest, MakesTraceIds) {
  CorrelationIdGenerator generator;
  for (int i = 0; i < 100; ++i) {
    const std::string text = generator.next().str();
    EXPECT_THAT(text, MatchesRegex("[0-9a-f]{32}"));
    EXPECT_NE(text, std::string(32, '0'));
  }
}

TEST(CorrelationIdGeneratorTest, NeverMakesAnIdTwice) {
  CorrelationIdGenerator one;
  CorrelationIdGenerator other;
  std::unordered_set<CorrelationId> seen;
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_TRUE(seen.insert(one.next()).second);
    EXPECT_TRUE(seen.insert(other.next()).second);
  }
}

TEST(CorrelationIdGeneratorTest, RepeatsItselfForTheSameSeed) {
  CorrelationIdGenerator one(std::uint64_t{42});
  CorrelationIdGenerator other(std::uint64_t{42});
  EXPECT_EQ(one.next(), other.next());
  EXPECT_EQ(one.next(), other.next());
  EXPECT_NE(CorrelationIdGenerator(std::uint64_t{0}).next().text(), std::string(32, '0'));
}

TEST(CorrelationIdGeneratorTest, CountsBehindAPrefix) {
  CorrelationIdGenerator generator("client-7");
  EXPECT_EQ(generator.next(), CorrelationId("client-7/1"));
  EXPECT_EQ(generator.next(), CorrelationId("client-7/2"));
  for (int i = 3; i < 1000; ++i) generator.next();
  EXPECT_EQ(generator.next().text(), "client-7/1000");
}

TEST(CorrelationIdGeneratorTest, RefusesAPrefixThatWouldNotFit) {
  EXPECT_EQ(CorrelationIdGenerator(std::string_view("eighteen bytes....")).next().text(), "eighteen bytes..../1");
  EXPECT_THROW(CorrelationIdGenerator(std::string_view("nineteen bytes.....")), std::invalid_argument);
  EXPECT_THROW(CorrelationIdGenerator(std::string_view("")), std::invalid_argument);
}

// Goal: what a generator makes is, by hash and text, what parse() makes of the same text.
TEST(CorrelationIdGeneratorTest, MakesIdsThatAreFoundByTheirText) {
  CorrelationIdGenerator plain;
  CorrelationIdGenerator prefixed("p");
  for (int i = 0; i < 200; ++i) {
    for (const CorrelationId& id : {plain.next(), prefixed.next()}) {
      EXPECT_EQ(CorrelationId::parse(id.text()), id);
      EXPECT_EQ(CorrelationId::parse(id.text())->hash(), id.hash());
    }
  }
}

}  // namespace
}  // namespace snowfox
