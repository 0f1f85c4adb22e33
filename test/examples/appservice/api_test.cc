#include "appservice/api.h"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/http/http_source.h>
#include <snowfox/http_client/http_client.h>

#include "appservice/sqlite_store.h"
#include "support/run_until.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox::appservice {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

/// What takes events in, which are for nobody; it has not begun yet.
class ApiTest : public testing::Test {
 protected:
  ApiTest() { scheduler_.start(registrations_, {}); }

  Descriptor submit(std::string_view event_id) {
    auto [ours, theirs] = make_socket_pair();
    serve_http(loop_, Channel::make(loop_, std::move(ours)), protocol_);
    const std::string body = R"({"event_id":")" + std::string(event_id) +
                             R"(","room_id":"!r:x","sender":"@u:x","type":"m.room.message","content":{}})";
    send_some(theirs.get(), "POST /_snowfox/appservice/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: " +
                                std::to_string(body.size()) + "\r\n\r\n" + body);
    return std::move(theirs);
  }
  std::string answer(const Descriptor& client) {
    // An answer is written without an event that would tell.
    constexpr int kMostLooks = 4000;
    std::string text;
    for (int i = 0; i < kMostLooks && text.find("\r\n\r\n") == std::string::npos; ++i) {
      run_until(
          loop_, [] { return false; }, std::chrono::milliseconds(5));
      text += receive_some(client.get());
    }
    return text;
  }

  const TemporaryDirectory directory_;
  LoopManager loop_;
  const std::shared_ptr<const Registrations> registrations_ =
      std::make_shared<const Registrations>(std::vector<Registration>());
  SqliteStore store_{loop_, directory_ / "store.db", 1000};
  HttpClient requester_{loop_};
  ServiceClient client_{loop_, requester_, {}};
  Scheduler scheduler_{loop_, store_, client_, {}};
  Rooms rooms_{loop_, store_, std::make_shared<const Interest>(registrations_)};
  Intake intake_{loop_, scheduler_, rooms_, {.events = {}, .most_waiting = 2}};
  HttpProtocol protocol_;
  Api api_{loop_, protocol_, intake_, scheduler_, client_, rooms_};
};

// Goal: what is received into the same buffer, while a submission waits for its turn, does not become part of it.
TEST_F(ApiTest, KeepsWhatWasSubmittedUntilItsTurn) {
  const Descriptor first = submit("$first");
  ASSERT_TRUE(run_until(loop_, [&] { return intake_.waiting() == 1; }));
  const Descriptor other = submit("$other");
  ASSERT_TRUE(run_until(loop_, [&] { return intake_.waiting() == 2; }));
  intake_.begin();
  EXPECT_THAT(answer(first), HasSubstr(R"({"event_ids":["$first"]})"));
  EXPECT_THAT(answer(other), HasSubstr(R"({"event_ids":["$other"]})"));
}

TEST_F(ApiTest, AsksForPatienceWhenTooMuchWaits) {
  const Descriptor first = submit("$first");
  const Descriptor second = submit("$second");
  ASSERT_TRUE(run_until(loop_, [&] { return intake_.waiting() == 2; }));
  const std::string refused = answer(submit("$third"));
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 429 "));
  EXPECT_THAT(refused, HasSubstr("\r\nRetry-After: 1\r\n"));
  EXPECT_THAT(refused, HasSubstr("M_LIMIT_EXCEEDED"));
  intake_.begin();
  EXPECT_THAT(answer(first), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer(second), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer(submit("$third")), HasSubstr(R"({"event_ids":["$third"]})"));
}

}  // namespace
}  // namespace snowfox::appservice
