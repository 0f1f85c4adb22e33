// What docs/http-client.md shows is true: the class is taken from there.
#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <snowfox/http_client/http_client.h>
#include <snowfox/http_client/scripted_http_requester.h>

#include "hostile_server.h"
#include "http_client_fixture.h"

namespace snowfox {
namespace {

#include "http_client_example.inc"

// Goal: the example tells what was delivered from what was not, with a real client and with a scripted one.
TEST_F(HttpClientTest, DoesWhatTheDocumentationShows) {
  HostileServer server([](auto& connection) {
    const std::string request = connection.read_request();
    if (request.find("/broken ") == request.npos) connection.write(response_with("{}"));
  });
  const auto events = std::make_shared<const std::string>(R"({"events":[]})");
  Courier courier(client(), server.url(""));
  EXPECT_EQ(outcome_of(loop, courier.deliver("1", events)), Courier::Outcome::Delivered);
  EXPECT_EQ(outcome_of(loop, courier.deliver("broken", events)), Courier::Outcome::Unknown);
  Courier lost(client(), "http://127.0.0.1:1");
  EXPECT_EQ(outcome_of(loop, lost.deliver("1", events)), Courier::Outcome::NotSent);

  ScriptedHttpRequester script(loop, [](const HttpClientRequest& request) -> ScriptedHttpAnswer {
    return {.response = HttpClientResponse{.status = request.body.bytes() == R"({"events":[]})" ? 503 : 200}};
  });
  Courier refused(script, "http://service");
  EXPECT_EQ(outcome_of(loop, refused.deliver("1", events)), Courier::Outcome::Refused);
}

}  // namespace
}  // namespace snowfox
