#include <string>

#include <gtest/gtest.h>

#include "appservice/client_event.h"

namespace snowfox::appservice {
namespace {

std::string stored(const std::string& content) {
  const std::string event = R"({"event_id":"$1","room_id":"!r:x","sender":"@u:x","type":"t",)" + content + "}";
  return read_client_events(event, 0, {}).at(0).body;
}

constexpr const char* kBegin = R"({"event_id":"$1","room_id":"!r:x","sender":"@u:x","type":"t",)";
constexpr const char* kEnd = R"(,"unsigned":{}})";

TEST(ClientEventTextTest, LosesSpaceBetweenItsPartsAndNoneInItsStrings) {
  EXPECT_EQ(stored("\"content\" : \n{ \"a b\" :\t[ 1 , \" 2  3 \" ] }\r\n"),
            kBegin + std::string(R"("content":{"a b":[1," 2  3 "]})") + kEnd);
}

TEST(ClientEventTextTest, KnowsAStringsEndByHowManyBackslashesAreBeforeIt) {
  const std::string content = R"("content":{"a":"\\","b":"\"","c":"\\\" }\\","d\\\"":""})";
  EXPECT_EQ(stored(content), kBegin + content + kEnd);
}

}  // namespace
}  // namespace snowfox::appservice
