#include <snowfox/http_client/scripted_http_requester.h>

#include <gmock/gmock.h>

#include <string>

#include <snowfox/core/error.h>
#include <snowfox/http_client/http_client_error.h>

#include "support/manual_loop.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;

/// Asks until it is told.
class Asker {
 public:
  explicit Asker(HttpRequester& requester) : requester_(requester) {}
  void ask(std::string url) {
    promise_ = requester_.send({.url = std::move(url)})
                   .then([this](const HttpClientResponse& response) { told = response.body; })
                   .otherwise([this](const std::exception_ptr& error) { failed = code_of(error); });
  }
  std::string told;
  std::error_code failed;
  Promise<void> promise_;

 private:
  HttpRequester& requester_;
};

class ScriptedHttpRequesterTest : public testing::Test {
 protected:
  ManualLoop loop;
  ScriptedHttpRequester requester{*loop, [](const HttpClientRequest& request) -> ScriptedHttpAnswer {
                                    if (request.url == "http://slow/") {
                                      return {.response = HttpClientResponse{.status = 200, .body = "slow"},
                                              .after = 5s};
                                    }
                                    if (request.url == "http://never/") return {};
                                    return {.response = HttpClientResponse{.status = 200, .body = "hello"}};
                                  }};
  Asker asker{requester};
};

// Goal: a script's answer comes in the loop's time, never within send().
TEST_F(ScriptedHttpRequesterTest, AnswersInTheLoopsTime) {
  asker.ask("http://fast/");
  EXPECT_EQ(asker.told, "");
  loop.pass(1ms);
  EXPECT_EQ(asker.told, "hello");
  asker.ask("http://slow/");
  loop.pass(4s);
  EXPECT_EQ(asker.told, "hello");
  loop.pass(2s);
  EXPECT_EQ(asker.told, "slow");
}

// Goal: what is not answered times out, as with a real client.
TEST_F(ScriptedHttpRequesterTest, TimesOut) {
  asker.ask("http://never/");
  loop.pass(59s);
  EXPECT_FALSE(asker.failed);
  loop.pass(2s);
  EXPECT_EQ(asker.failed, HttpClientErrc::HeadersTimeout);
}

// Goal: a body is given to who takes it, and the promise may be dropped from there.
TEST_F(ScriptedHttpRequesterTest, GivesTheBodyToWhoTakesIt) {
  std::string taken;
  Promise<HttpClientResponse> promise = requester.send(
      {.url = "http://fast/", .on_body = [&](const HttpClientResponse& head, std::string_view bytes) -> Promise<void> {
         EXPECT_EQ(head.status, 200);
         taken = bytes;
         return {};
       }});
  loop.pass(1ms);
  EXPECT_TRUE(promise.settled());
  EXPECT_EQ(taken, "hello");
  promise =
      requester.send({.url = "http://fast/", .on_body = [&](const auto&, std::string_view bytes) -> Promise<void> {
                        promise = {};
                        taken += bytes;
                        return {};
                      }});
  loop.pass(1ms);
  EXPECT_EQ(taken, "hellohello");
  EXPECT_EQ(requester.under_way(), 0U);
}

// Goal: dropping the promise ends it.
TEST_F(ScriptedHttpRequesterTest, CanBeCancelled) {
  asker.ask("http://slow/");
  EXPECT_EQ(requester.under_way(), 1U);
  asker.promise_ = {};
  EXPECT_EQ(requester.under_way(), 0U);
  loop.pass(10s);
  EXPECT_EQ(asker.told, "");
}

}  // namespace
}  // namespace snowfox
