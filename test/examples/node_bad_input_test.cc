#include <gmock/gmock.h>

#include <random>

#include "examples/node_fixture.h"

namespace snowfox::node {
namespace {

using testing::HasSubstr;

/// What foreign clients may do to a node, and that it affects only themselves.
class NodeBadInputTest : public NodeTest {
 protected:
  void expect_others_are_served() {
    const Finished asked = client({"--timeout", "5s", "--eval", "node.status(true)"});
    EXPECT_EQ(asked.exit_code, 0) << asked.error;
    EXPECT_THAT(asked.output, HasSubstr("Green: as desired"));
  }
};

TEST_F(NodeBadInputTest, DisconnectsWhoSendsNoFrames) {
  start();
  RawClient bystander(socket());
  bystander.introduce();
  std::mt19937 random(42);
  for (int i = 0; i < 50; ++i) {
    RawClient stranger(socket());
    std::string bytes = "\xff";  // a length that is too large in any case
    for (int n = 0; n < 1000; ++n) bytes += static_cast<char>(random());
    send_some(stranger.fd(), bytes);
    EXPECT_TRUE(stranger.closed_by_peer());
  }
  EXPECT_TRUE(bystander.is_served());
  expect_others_are_served();
  stop();
}

TEST_F(NodeBadInputTest, DisconnectsWhoSendsAFrameThatIsNoMessage) {
  start();
  for (const std::string& bytes :
       {std::string("\0\0\0\3\xff\xff\xff", 7), std::string("\0\0\0\4\x12\x02\xc3\x28", 8)}) {
    RawClient stranger(socket());
    stranger.send_bytes(bytes);
    EXPECT_TRUE(stranger.closed_by_peer());
  }
  expect_others_are_served();
  stop();
}

TEST_F(NodeBadInputTest, DisconnectsWhoAnnouncesAnOversizedFrame) {
  start();
  RawClient stranger(socket());
  stranger.introduce();
  stranger.send_bytes(std::string("\x00\x10\x00\x01", 4));  // one byte more than is allowed
  EXPECT_TRUE(stranger.closed_by_peer());
  EXPECT_TRUE(says("client disconnected")) << "and says so";
  expect_others_are_served();
  stop();
}

TEST_F(NodeBadInputTest, ForgetsWhoLeavesInTheMiddleOfAFrame) {
  start();
  {
    RawClient leaving(socket());
    leaving.send_bytes(std::string("\0\0\1\0abc", 7));
  }
  EXPECT_TRUE(eventually([&] { return status().details().api().clients() == 1; }));
  expect_others_are_served();
  stop();
}

TEST_F(NodeBadInputTest, AnswersWhatMakesNoSenseWithAnErrorAndGoesOn) {
  start();
  RawClient client(socket());
  const auto expect_error = [&](const public_api::Message& request, ErrorCode code, const std::string& text) {
    const auto answer = client.ask(request);
    EXPECT_EQ(answer.code(), public_api::ERROR);
    EXPECT_EQ(answer.correlation_id(), request.correlation_id().substr(0, 39));
    EXPECT_EQ(ErrorCode_Name(answer.error().code()), ErrorCode_Name(code));
    EXPECT_THAT(answer.error().text(), HasSubstr(text));
  };
  expect_error(client.status_request(), NOT_INTRODUCED, "introduce_request must come first");
  client.introduce();
  const std::string id = client.id() + "/x";

  expect_error(client.make(static_cast<public_api::Code>(99), id), UNKNOWN_CODE, "code 99 is unknown");
  expect_error(client.make(static_cast<public_api::Code>(1), id), UNKNOWN_CODE, "code 1 is unknown");
  expect_error(client.make(public_api::UNSPECIFIED, id), UNKNOWN_CODE, "code 0 is unknown");
  expect_error(client.make(public_api::NODE_INFO_REQUEST, id), WRONG_PAYLOAD,
               "code 14 comes with the payload node_info_request, not with none");
  auto wrong = client.make(public_api::NODE_INFO_REQUEST, id);
  wrong.mutable_reload();
  expect_error(wrong, WRONG_PAYLOAD, "code 14 comes with the payload node_info_request, not with reload");
  auto response = client.make(public_api::RELOAD, id);
  response.mutable_node_info_response();
  expect_error(response, WRONG_PAYLOAD, "code 16 comes with the payload reload, not with node_info_response");

  auto request = client.status_request();
  request.set_correlation_id(std::string(40, 'x'));
  expect_error(request, WRONG_CORRELATION_ID, "correlation_id has 40 bytes: expected 1 to 39");
  request.set_correlation_id(std::string(38, 'x') + "é" + std::string(100'000, 'x'));
  EXPECT_EQ(client.ask(request).correlation_id(), std::string(38, 'x')) << "no half characters";
  request.clear_correlation_id();
  expect_error(request, WRONG_CORRELATION_ID, "correlation_id is missing");
  request.set_correlation_id(client.id() + "0/1");
  expect_error(request, WRONG_CORRELATION_ID, "must begin with " + client.id() + "/");

  EXPECT_TRUE(client.is_served());
  expect_others_are_served();
  stop();
}

// Goal: no answer is answered. Two sides that did so would never end, and neither would learn what the first one said.
TEST_F(NodeBadInputTest, LogsAnswersThatNobodyAskedForAndAnswersNone) {
  start();
  RawClient client(socket());
  client.introduce();
  for (const public_api::Code code : {public_api::ACK, public_api::ERROR, public_api::NODE_INFO_RESPONSE}) {
    auto answer = client.make(code, client.id() + "/x");
    if (code == public_api::ERROR) answer.mutable_error()->set_text("PONG is not answered here");
    client.send(answer);
  }
  EXPECT_TRUE(client.is_served()) << "the first that comes back is what was asked for";
  EXPECT_TRUE(says("answer ignored that nobody asked for"));
  EXPECT_TRUE(says("PONG is not answered here"));
  EXPECT_EQ(status().details().api().errors(), 0);
  stop();
}

TEST_F(NodeBadInputTest, RefusesAnIdThatIsInUse) {
  start();
  RawClient client(socket());
  client.introduce();
  ::kill(spawner(), SIGSTOP);
  const auto request = client.status_request(true);
  client.send(request);
  client.send(request);
  const auto refused = client.receive();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error().code(), WRONG_CORRELATION_ID) << refused->ShortDebugString();
  ::kill(spawner(), SIGCONT);
  const auto answered = client.receive();
  ASSERT_TRUE(answered);
  EXPECT_TRUE(answered->has_node_info_response());
  stop();
}

TEST_F(NodeBadInputTest, DoesNotBeginWhatNobodyWaitsForAnyMore) {
  start();
  RawClient client(socket());
  client.introduce();
  ::kill(spawner(), SIGSTOP);
  auto request = client.status_request(true);
  request.set_timeout_ms(200);
  const auto answer = client.ask(request);
  EXPECT_EQ(answer.node_info_response().status().colour(), Status::Yellow) << answer.ShortDebugString();
  ::kill(spawner(), SIGCONT);
  stop();
}

// Goal: whoever sends a byte now and then is served when he is done, and holds nobody up.
TEST_F(NodeBadInputTest, ServesWhoSendsAByteAtATime) {
  start();
  RawClient slow(socket());
  slow.introduce();
  const std::string frame = RawClient::frame(slow.status_request());
  for (const char byte : frame) {
    expect_others_are_served();
    slow.send_bytes({&byte, 1});
  }
  const auto answer = slow.receive();
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->has_node_info_response());
  stop();
}

// Goal: a reader that stops reading stops being listened to; what waits for it stays bounded, everybody else is served,
// and it is served in full when it reads again.
TEST_F(NodeBadInputTest, PausesWhoDoesNotReadAndGoesOnWhenHeDoes) {
  start();
  const auto resident_kilobytes = [&] {
    const std::string status = read_file("/proc/" + std::to_string(manager()) + "/status");
    return std::stol(status.substr(status.find("VmRSS:") + 6));
  };
  const long before = resident_kilobytes();
  RawClient client(socket());
  client.introduce();
  std::size_t asked = 0;
  std::string unsent;
  for (auto last = std::chrono::steady_clock::now(); std::chrono::steady_clock::now() - last < 500ms;) {
    if (unsent.empty()) {
      unsent = RawClient::frame(client.status_request());
      ++asked;
    }
    const std::size_t sent = send_some(client.fd(), unsent);
    if (sent != 0) last = std::chrono::steady_clock::now();
    unsent.erase(0, sent);
  }
  EXPECT_GT(asked, 1000);
  expect_others_are_served();
  // The high watermark is 1 MiB; the rest is for the allocator, which a sanitizer's keeps much longer.
  EXPECT_LT(resident_kilobytes() - before, (kSanitized ? 256 : 16) * 1024);
  std::size_t answered = 0;
  while (answered < asked) {
    if (!unsent.empty()) unsent.erase(0, send_some(client.fd(), unsent));
    const auto answer = client.receive();
    ASSERT_TRUE(answer.has_value()) << answered << " of " << asked;
    EXPECT_TRUE(answer->has_node_info_response());
    ++answered;
  }
  EXPECT_TRUE(client.is_served());
  stop();
}

TEST_F(NodeBadInputTest, AnswersWhoClosesItsSideAfterAsking) {
  start();
  RawClient client(socket());
  client.introduce();
  client.send(client.status_request(true));
  client.send(client.status_request(true));
  ASSERT_EQ(shutdown(client.fd(), SHUT_WR), 0);
  EXPECT_TRUE(client.receive().has_value());
  EXPECT_TRUE(client.receive().has_value());
  EXPECT_TRUE(client.closed_by_peer());
  stop();
}

// Goal: what is asked about need not be an id, nor one that there is.
TEST_F(NodeBadInputTest, IsAskedAboutWhatIsNoCorrelationId) {
  start();
  RawClient client(socket());
  client.introduce();
  const auto ask_about = [&](const std::string& id) {
    auto request = client.status_request();
    request.set_code(public_api::EXPLAIN_REQUEST);
    request.mutable_explain_request()->set_id(id);
    return client.ask(request);
  };
  const auto refused = ask_about(std::string(40, 'x'));
  EXPECT_EQ(refused.error().code(), WRONG_CORRELATION_ID);
  EXPECT_THAT(refused.error().text(), HasSubstr("explain_request.id has 40 bytes: expected 1 to 39"));
  for (const std::string& id : {std::string(), std::string("nobody/1"), std::string(39, '\n')}) {
    EXPECT_TRUE(ask_about(id).has_explain_response()) << testing::PrintToString(id);
  }
  EXPECT_TRUE(client.is_served());
  stop();
}

TEST_F(NodeBadInputTest, TellsOneClientTooManyThatItIs) {
  configure("api: {max_clients: 1}\n");
  start();
  std::optional<RawClient> served(socket());
  served->introduce();
  const Finished refused = client({"--eval", "node.status()"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.error, HasSubstr("the node has 1 clients, which is all it takes (api.max_clients)"));
  EXPECT_EQ(lines(refused.error), 1);
  RawClient silent(socket());
  EXPECT_TRUE(silent.closed_by_peer()) << "also who does not ask";
  const auto info = served->ask(served->status_request());
  EXPECT_EQ(info.node_info_response().status().colour(), Status::Yellow);
  EXPECT_THAT(info.node_info_response().status().reason(), HasSubstr("api.max_clients"));
  served.reset();
  EXPECT_TRUE(eventually([&] { return client({"--eval", "node.status()"}).exit_code == 0; }));
  stop();
}

TEST_F(NodeBadInputTest, DisconnectsWhoIsSilentForTooLong) {
  configure("api: {idle_timeout: 300ms}\n");
  start();
  RawClient silent(socket());
  silent.introduce();
  EXPECT_TRUE(silent.closed_by_peer());
  expect_others_are_served();
  stop();
}

// Goal: without descriptors newcomers wait, and are served when some are free again.
TEST_F(NodeBadInputTest, LetsNewcomersWaitWhileThereAreNoDescriptors) {
  // UBSan asks by a pipe whether it may look at an object: without a descriptor for that it takes all for broken.
  if (kSanitized) GTEST_SKIP() << "the sanitizer needs descriptors itself";
  start();
  ASSERT_EQ(prlimit_descriptors(manager(), 40), 0);
  std::vector<std::unique_ptr<RawClient>> many;
  for (int i = 0; i < 60; ++i) many.push_back(std::make_unique<RawClient>(socket()));
  EXPECT_TRUE(says("no resources to accept connections"));
  many.front()->introduce();
  EXPECT_TRUE(many.front()->is_served());
  many.erase(many.begin() + 1, many.end());
  expect_others_are_served();
  stop();
}

}  // namespace
}  // namespace snowfox::node
