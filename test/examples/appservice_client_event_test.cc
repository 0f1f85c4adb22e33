#include "appservice/client_event.h"

#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace snowfox::appservice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr std::int64_t kNow = 1'700'000'000'000;

/// An event with `more` at its end: `,"state_key":""`.
std::string event(const std::string& more = "", const std::string& content = "{}") {
  return R"({"event_id":"$1","room_id":"!r:x","sender":"@a:x","type":"m.room.message","content":)" + content + more +
         "}";
}
StoredEvent read(const std::string& text, const ClientEventLimits& limits = {}) {
  const auto events = read_client_events(text, kNow, limits);
  EXPECT_EQ(events.size(), 1);
  return events.at(0);
}
std::string error_of(const std::string& text, int status = 400, const ClientEventLimits& limits = {}) {
  try {
    read_client_events(text, kNow, limits);
  } catch (const ClientEventError& error) {
    EXPECT_EQ(error.kind() == ClientEventError::Kind::TooLarge, status == 413) << error.what();
    return error.what();
  }
  return "none";
}
std::string sent(const StoredEvent& stored, std::int64_t now = kNow) {
  std::string out;
  append_with_age(out, stored.body, stored.age_ts, now);
  return out;
}

TEST(ClientEventTest, KeepsWhatClientsGet) {
  const StoredEvent stored = read(R"( { "event_id" : "$1", "room_id":"!r:x", "sender":"@a:x", "type":"m.x",
    "content": {"a": [1, 2], "b c": "d  e"}, "state_key": "k", "origin_server_ts": 5, "unsigned": {"prev_content": {"x": 1}},
    "auth_events": [], "prev_events": ["$0"], "hashes": {}, "signatures": {"x": {}}, "depth": 3, "origin": "x",
    "prev_state": [], "redacts": "$9" } )");
  EXPECT_EQ(stored.body,
            R"({"event_id":"$1","room_id":"!r:x","sender":"@a:x","type":"m.x","content":{"a":[1,2],"b c":"d  e"},)"
            R"("state_key":"k","origin_server_ts":5,"redacts":"$9","unsigned":{"prev_content":{"x":1}}})");
  EXPECT_EQ(stored.event_id, "$1");
  EXPECT_EQ(stored.facts.room_id, "!r:x");
  EXPECT_EQ(stored.facts.sender, "@a:x");
  EXPECT_EQ(stored.facts.type, "m.x");
  EXPECT_EQ(stored.facts.state_key, "k");
  EXPECT_EQ(stored.age_ts, 5);
}

// Goal: neither what JavaScript cannot count nor what canonical JSON forbids changes on its way: rooms have it.
TEST(ClientEventTest, LeavesNumbersAndTextsAsTheyWereSpelled) {
  const std::string content =
      R"({"big":18446744073709551616,"safe":9007199254740993,"f":1.10,"e":1E+2,"z":-0,"t":"a\u00e4\/\"\\ü\ud83d\ude00 , : ","d":1,"d":2})";
  EXPECT_THAT(read(event("", content)).body, HasSubstr("\"content\":" + content + ","));
}

TEST(ClientEventTest, TellsTheAgeWhenItIsSent) {
  const StoredEvent bare = read(event());
  EXPECT_EQ(bare.age_ts, kNow);
  EXPECT_TRUE(sent(bare, kNow + 7).ends_with(R"("content":{},"unsigned":{"age":7}})"));
  const StoredEvent aged = read(event(R"(,"origin_server_ts":1,"unsigned":{"age":100,"a":"}}"})"));
  EXPECT_EQ(aged.age_ts, kNow - 100);
  EXPECT_TRUE(sent(aged, kNow).ends_with(R"("unsigned":{"a":"}}","age":100}})"));
  EXPECT_EQ(read(event(R"(,"unsigned":{"age":100,"age_ts":42})")).age_ts, 42);
  EXPECT_EQ(read(event(R"(,"origin_server_ts":17)")).age_ts, 17);
  // An event of the future is not older than now.
  EXPECT_TRUE(sent(read(event(R"(,"unsigned":{"age_ts":1700000000001})")), kNow).ends_with(R"("age":0}})"));
  std::string out = "before ";
  append_with_age(out, bare.body, bare.age_ts, kNow);
  EXPECT_THAT(out, StartsWith("before {"));
}

TEST(ClientEventTest, TakesTheLastOfMembersOfTheSameName) {
  const StoredEvent stored = read(event(R"(,"sender":"@b:x","\u0073ender":"@c:x","unsigned":{"age_ts":1,"x":1},)"
                                        R"("unsigned":{"age_ts":2,"age_\u0074s":3,"y":1,"y":2})"));
  EXPECT_EQ(stored.facts.sender, "@c:x");
  EXPECT_EQ(stored.age_ts, 3);
  const auto json = nlohmann::json::parse(stored.body);
  EXPECT_EQ(json["sender"], "@c:x");
  EXPECT_EQ(json["unsigned"], nlohmann::json::parse(R"({"y":2})"));
  EXPECT_EQ(stored.body.find("@a:x"), std::string::npos);
  EXPECT_EQ(stored.body.find("@b:x"), std::string::npos);
}

TEST(ClientEventTest, ReadsAListInOrderAndOneEventAlone) {
  EXPECT_THAT(read_client_events("[]", kNow), IsEmpty());
  EXPECT_THAT(read_client_events(" [ ] ", kNow), IsEmpty());
  EXPECT_EQ(read_client_events("[" + event() + " , " + event() + "]\n", kNow).size(), 2);
  EXPECT_EQ(read_client_events("\n" + event() + "\n", kNow).size(), 1);
}

TEST(ClientEventTest, SaysWhichEventIsWrongAndWhere) {
  const auto in_list = [](const std::string& text) { return error_of("[" + event() + "," + text + "]"); };
  EXPECT_EQ(in_list(event(R"(,"sender":1)")), "events[1].sender: expected a string");
  EXPECT_EQ(in_list("7"), "events[1]: expected an object");
  EXPECT_EQ(in_list("[]"), "events[1]: expected an object");
  EXPECT_EQ(error_of(R"({"event_id":"$1"})"), "event.room_id: is missing, expected a string");
  EXPECT_EQ(error_of(event(R"(,"event_id":"")")), "event.event_id: must not be empty");
  EXPECT_EQ(error_of(event(R"(,"event_id":null)")), "event.event_id: expected a string");
  EXPECT_EQ(error_of(event(R"(,"room_id":")" + std::string(256, 'a') + '"')), "event.room_id: longer than 255 bytes");
  EXPECT_EQ(error_of(event(R"(,"type":"a\u0000b")")), "event.type: must not contain a zero character");
  EXPECT_EQ(error_of(event(R"(,"state_key":5)")), "event.state_key: expected a string");
  EXPECT_EQ(error_of(event("", "[]")), "event.content: expected an object");
  EXPECT_EQ(error_of(event(R"(,"origin_server_ts":"5")")), "event.origin_server_ts: expected an integer");
  EXPECT_EQ(error_of(event(R"(,"origin_server_ts":5.0)")), "event.origin_server_ts: expected an integer");
  EXPECT_EQ(error_of(event(R"(,"origin_server_ts":9007199254740992)")), "event.origin_server_ts: is out of range");
  EXPECT_EQ(error_of(event(R"(,"origin_server_ts":18446744073709551615)")), "event.origin_server_ts: is out of range");
  EXPECT_EQ(error_of(event(R"(,"unsigned":null)")), "event.unsigned: expected an object");
  EXPECT_EQ(error_of(event(R"(,"unsigned":{"age":"1"})")), "event.unsigned.age: expected an integer");
  EXPECT_EQ(error_of(event(R"(,"unsigned":{"age_ts":-9007199254740992})")), "event.unsigned.age_ts: is out of range");
}

TEST(ClientEventTest, RefusesWhatIsNoJson) {
  for (const std::string& text : {std::string(),
                                  std::string(" "),
                                  std::string("7"),
                                  std::string("\"a\""),
                                  std::string("["),
                                  std::string("[,]"),
                                  "[" + event(),
                                  "[" + event() + ",]",
                                  "[" + event() + event() + "]",
                                  event() + event(),
                                  event() + "x",
                                  "[" + event() + "]x",
                                  "[" + event() + "}",
                                  "\xef\xbb\xbf" + event(),
                                  "[\xef\xbb\xbf" + event() + "]",
                                  event() + std::string(1, '\0'),
                                  std::string("{\"a\":\"\xff\"}"),
                                  std::string("{\"a\":\"\\ud800\"}"),
                                  std::string("{\"a\":01}"),
                                  std::string("{'a':1}"),
                                  std::string("{\"a\":1,}"),
                                  std::string("{\"a\":[}]"),
                                  std::string("{\"a"),
                                  std::string("[]]"),
                                  std::string("[] []"),
                                  std::string("{\"a\":1e999}"),
                                  event("", "{\"a\":\"\x01\"}")}) {
    EXPECT_NE(error_of(text), "none") << text;
  }
  EXPECT_THAT(error_of("{\"a\":\"\xff\"}"), HasSubstr("UTF-8"));
}

TEST(ClientEventTest, BoundsDepthAndSize) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(error_of(event("", "{\"a\":" + nested(62) + "}")), "none");
  EXPECT_THAT(error_of(event("", "{\"a\":" + nested(63) + "}")), HasSubstr("64 levels deep"));
  EXPECT_THAT(error_of(event("", "{\"a\":" + nested(30'000) + "}")), HasSubstr("64 levels deep"));

  const auto filled = [](std::size_t bytes) { return event("", "{\"a\":\"" + std::string(bytes, 'x') + "\"}"); };
  EXPECT_EQ(error_of(filled(65'000)), "none");
  EXPECT_THAT(error_of(filled(66'000), 413), HasSubstr("event: longer than 65536 bytes"));
  EXPECT_THAT(error_of("[" + filled(1'000'000) + "]", 413), HasSubstr("events[0]: longer than"));
  const std::string large = R"(,"unsigned":{"prev_content":{"a":")" + std::string(60'000, 'x') + "\"}}";
  EXPECT_EQ(error_of(event(large, "{\"a\":\"" + std::string(60'000, 'x') + "\"}")), "none");
  EXPECT_THAT(error_of(event(R"(,"unsigned":{"a":")" + std::string(66'000, 'x') + "\"}"), 413),
              HasSubstr("event.unsigned: longer than"));
  // What is dropped does not count, within reason.
  EXPECT_EQ(error_of(event(R"(,"signatures":{"a":")" + std::string(90'000, 'x') + "\"}")), "none");
  EXPECT_THAT(error_of(filled(1000), 413, {.submit_bytes = 1000}), HasSubstr("longer than 1000 bytes"));
}

TEST(ClientEventTest, TellsWhatIsNoJsonFromWhatIsNoEvent) {
  const auto kind_of = [](const std::string& text) {
    try {
      read_client_events(text, kNow);
    } catch (const ClientEventError& error) {
      return error.kind();
    }
    throw std::logic_error("it was taken");
  };
  for (const char* text : {"", " ", "{", "[", "]", "[{]", "{\"a\":}", "{\"a\":01}"}) {
    EXPECT_EQ(kind_of(text), ClientEventError::Kind::NotJson) << text;
  }
  for (const char* text : {"7", "-1.5", "\"a\"", "true", "null", "{}", "[7]", "[[]]", "[{},{}]"}) {
    EXPECT_EQ(kind_of(text), ClientEventError::Kind::BadJson) << text;
  }
}

TEST(ClientEventTest, ReadsNoFurtherAfterAnError) {
  const std::string text = "[" + event() + ",7," + event() + "]";
  JsonCheck check;
  ClientEventReader reader(text, check);
  EXPECT_TRUE(reader.next(kNow));
  EXPECT_THROW(reader.next(kNow), ClientEventError);
  EXPECT_FALSE(reader.next(kNow));
}

TEST(ClientEventTest, FindsMembershipAndAliasesInTheContent) {
  const auto facts = [](const std::string& type, const std::string& content) {
    return read(event(R"(,"state_key":"s","type":")" + type + '"', content)).facts;
  };
  EXPECT_EQ(facts("m.room.member", R"({"membership":"join"})").membership, "join");
  EXPECT_EQ(facts("m.room.member", R"({"membership":7})").membership, "");
  EXPECT_EQ(facts("m.room.message", R"({"membership":"join"})").membership, "");
  EXPECT_THAT(facts("m.room.aliases", R"({"aliases":["#a:x",7,"#b:x",""]})").aliases, ElementsAre("#a:x", "#b:x"));
  EXPECT_THAT(facts("m.room.canonical_alias", R"({"alias":"#a:x","alt_aliases":["#b:x"]})").aliases,
              ElementsAre("#a:x", "#b:x"));
  EXPECT_THAT(facts("m.room.canonical_alias", R"({"alias":null})").aliases, IsEmpty());
  EXPECT_THAT(facts("m.room.topic", R"({"alias":"#a:x","aliases":["#b:x"]})").aliases, IsEmpty());
}

}  // namespace
}  // namespace snowfox::appservice
