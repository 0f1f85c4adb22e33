#include <cmath>
#include <limits>
#include <tuple>

#include "postgres_fixture.h"

namespace snowfox {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class PostgresValuesTest : public PostgresTest {
 protected:
  void SetUp() override {
    PostgresTest::SetUp();
    if (PostgresCluster::installed()) open();
  }
  template <typename T, typename Value>
  T there_and_back(const std::string& type, const Value& value) {
    return *outcome(loop, db->read("SELECT $1::" + type, value)).template one<T>();
  }
};

TEST_F(PostgresValuesTest, ValuesOfEveryTypeComeBackAsTheyWent) {
  EXPECT_EQ(there_and_back<bool>("boolean", true), true);
  EXPECT_EQ(there_and_back<bool>("boolean", false), false);
  for (const std::int64_t number : {std::int64_t{0}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(),
                                    std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(there_and_back<std::int64_t>("bigint", number), number);
  }
  EXPECT_EQ(there_and_back<std::uint8_t>("smallint", std::uint8_t{200}), 200);
  for (const double number : {0.1, -1e300, 5e-324, 1.0 / 3}) {
    EXPECT_EQ(there_and_back<double>("double precision", number), number);
  }
  EXPECT_TRUE(std::isnan(there_and_back<double>("double precision", std::nan(""))));
  EXPECT_EQ(there_and_back<double>("double precision", -HUGE_VAL), -HUGE_VAL);
  EXPECT_EQ(there_and_back<double>("bigint", 3), 3.0);
  for (const std::string text : {"", "it's \"quoted\" \\ {}", "Füchse 🦊", "\n\t\x01", "NULL"}) {
    EXPECT_EQ(there_and_back<std::string>("text", text), text);
  }
  PostgresBytes bytes;
  for (int i = 0; i < 512; ++i) bytes.push_back(static_cast<std::byte>(i));
  EXPECT_EQ(there_and_back<PostgresBytes>("bytea", bytes), bytes);
  EXPECT_EQ(there_and_back<PostgresBytes>("bytea", PostgresBytes()), PostgresBytes());
  EXPECT_EQ(there_and_back<std::optional<std::string>>("text", nullptr), std::nullopt);
  EXPECT_EQ(there_and_back<std::optional<int>>("integer", std::optional<int>()), std::nullopt);
  EXPECT_EQ(there_and_back<std::optional<int>>("integer", std::optional<int>(7)), 7);
}

TEST_F(PostgresValuesTest, ArraysComeBackAsTheyWent) {
  const std::vector<std::int64_t> numbers{1, -5, std::numeric_limits<std::int64_t>::max()};
  EXPECT_EQ(there_and_back<std::vector<std::int64_t>>("bigint[]", numbers), numbers);
  EXPECT_EQ(there_and_back<std::vector<std::int64_t>>("bigint[]", std::vector<std::int64_t>()),
            std::vector<std::int64_t>());
  const std::vector<std::string> texts{"", "NULL", "a,b", "{\"x\"}", "back\\slash", "two\nlines", "ü"};
  EXPECT_EQ(there_and_back<std::vector<std::string>>("text[]", texts), texts);
}

TEST_F(PostgresValuesTest, ManyRowsGoByOneStatement) {
  outcome(loop, db->write(PostgresUnit("INSERT INTO names (id, name) SELECT * FROM UNNEST($1, $2)",
                                       std::vector<std::int64_t>{5, 6}, std::vector<std::string>{"five", "six"})));
  EXPECT_THAT(names(), ElementsAre("five", "six"));
  const std::vector<std::optional<std::string>> some{"a", std::nullopt};
  const auto counts = outcome(loop, db->read("SELECT count(*), count(x) FROM UNNEST($1) x", some)).one<int, int>();
  EXPECT_EQ(counts, std::tuple(2, 1));
}

TEST_F(PostgresValuesTest, WhereTextStandsTellsItsType) {
  const auto row = outcome(loop, db->read("SELECT $1::jsonb ->> 'a', $2::uuid, $3::timestamptz = 'epoch'", "{\"a\": 1}",
                                          "00000000-0000-0000-0000-00000000000A", "1970-01-01 00:00:00+00"))
                       .one<std::string, std::string, bool>();
  EXPECT_EQ(row, std::tuple("1", "00000000-0000-0000-0000-00000000000a", true));
}

TEST_F(PostgresValuesTest, ConvertsNothingOnTheQuiet) {
  const auto result = outcome(loop, db->read("SELECT 'x'::text AS word, 300::int AS number, NULL::int AS nothing"));
  const auto error_of = [&](auto&& read) {
    try {
      read(result[0]);
    } catch (const PostgresError& error) {
      EXPECT_EQ(error.code(), PostgresErrc::Mismatch);
      return std::string(error.what());
    }
    return std::string("none");
  };
  EXPECT_THAT(error_of([](const PostgresRow& row) { row.get<int>(0); }), HasSubstr("word is text"));
  EXPECT_THAT(error_of([](const PostgresRow& row) { row.get<std::uint8_t>(1); }), HasSubstr("number of that size"));
  EXPECT_THAT(error_of([](const PostgresRow& row) { row.get<int>(2); }), HasSubstr("nothing is NULL"));
  EXPECT_THAT(error_of([](const PostgresRow& row) { row.get<bool>(1); }), HasSubstr("not a truth"));
  EXPECT_THAT(error_of([](const PostgresRow& row) { row.get<PostgresBytes>(0); }), HasSubstr("not bytes"));
  EXPECT_THROW(result.one<std::string>(), PostgresError);
  EXPECT_EQ(result.column_name(1), "number");
}

TEST_F(PostgresValuesTest, RefusesTextWithAZeroInIt) {
  EXPECT_THROW(PostgresParameter(std::string("a\0b", 3)), PostgresError);
  EXPECT_THROW(PostgresParameter(std::vector<std::string>{std::string(1, '\0')}), PostgresError);
}

TEST_F(PostgresValuesTest, RefusesSqlWithAZeroInIt) {
  const std::string sql("SELECT 1\0 WHERE false", 21);
  EXPECT_EQ(code_of(failure(loop, db->read(sql))), PostgresErrc::Data);
  const auto error = failure(loop, db->write(PostgresUnit("SELECT 1").add(sql)));
  EXPECT_EQ(code_of(error), PostgresErrc::Data);
  EXPECT_THAT(describe(error), HasSubstr("SELECT 1: there is a zero in it"));
}

// The protocol counts them with 16 bits. What cannot be sent holds up nothing else.
TEST_F(PostgresValuesTest, TakesAsManyParametersAsTheProtocolDoes) {
  const auto statement = [](std::size_t count) {
    std::string sql = "SELECT cardinality(ARRAY[";
    for (std::size_t i = 1; i <= count; ++i) sql += (i == 1 ? "$" : ",$") + std::to_string(i);
    return PostgresStatement(sql + "]::bigint[])", std::vector<PostgresParameter>(count, 7));
  };
  const auto unit = [&](std::size_t count) {
    PostgresUnit one("SELECT 1");
    one.add(statement(count));
    return one;
  };
  auto before = db->write(insert("before"));
  auto too_many = db->write({.deadline = 5s}, unit(65536));
  auto after = db->write({.deadline = 5s}, insert("after"));
  const auto error = failure(loop, std::move(too_many));
  EXPECT_EQ(code_of(error), PostgresErrc::ProgramLimit);
  EXPECT_THAT(describe(error), AllOf(HasSubstr("SELECT cardinality"), HasSubstr("65535")));
  outcome(loop, std::move(before));
  outcome(loop, std::move(after));
  EXPECT_EQ(code_of(failure(loop, db->read_statement({.deadline = 5s}, statement(65536)))), PostgresErrc::ProgramLimit);
  EXPECT_EQ(outcome(loop, db->read_statement({}, statement(65535))).one<int>(), 65535);
  EXPECT_EQ(outcome(loop, db->write(unit(65535)))[1].one<int>(), 65535);
  EXPECT_EQ(db->status().losses, 0U);
}

TEST_F(PostgresValuesTest, ErrorsShowNoValues) {
  const auto number = failure(loop, db->read("SELECT $1::int", "secret-7"));
  EXPECT_EQ(code_of(number), PostgresErrc::Data);
  EXPECT_THAT(describe(number), Not(HasSubstr("secret-7")));
  const auto large = failure(loop, db->read("SELECT $1::int", "77777777777777"));
  EXPECT_EQ(code_of(large), PostgresErrc::Data);
  EXPECT_THAT(describe(large), Not(HasSubstr("77777777777777")));
  outcome(loop, db->write(insert("secret-8")));
  const auto twice = failure(loop, db->write(insert("secret-8")));
  EXPECT_EQ(code_of(twice), PostgresErrc::Constraint);
  EXPECT_THAT(describe(twice), HasSubstr("names_name_key"));
  EXPECT_THAT(describe(twice), Not(HasSubstr("secret-8")));
}

}  // namespace
}  // namespace snowfox
