#include <gmock/gmock.h>

#include <algorithm>
#include <regex>

#include <snowfox/core/log.h>
#include <snowfox/core/loop_manager.h>

#include "common/origin.h"
#include "common/trace_recorder.h"
#include "examples/node_fixture.h"
#include "support/recording_sink.h"

namespace snowfox::node {
namespace {

using public_api::Service;
using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// --- ids ---

TEST(OriginTest, IsFoundAgainInWhatFollows) {
  const CorrelationId origin("client-7/42");
  const CorrelationId third = follow_up(origin, 3);
  EXPECT_EQ(third.text(), "client-7/42~3");
  EXPECT_EQ(origin_of(third), origin);
  EXPECT_EQ(origin_of(origin), origin);
  EXPECT_TRUE(is_about(third, origin));
  EXPECT_TRUE(is_about(origin, origin));
  EXPECT_FALSE(is_about(CorrelationId("client-7/421"), origin));
  EXPECT_FALSE(is_about(origin, third));
  EXPECT_FALSE(is_about({}, origin));
}

TEST(OriginTest, LeavesRoomForEachNumber) {
  const CorrelationId longest(std::string(kMaxOriginBytes, 'x'));
  for (const std::uint32_t number : {0U, 35U, 36U, 2'176'782'335U, 2'176'782'336U, 4'294'967'295U}) {
    EXPECT_EQ(origin_of(follow_up(longest, number)), longest) << number;
  }
  EXPECT_NE(follow_up(longest, 35), follow_up(longest, 36));
  EXPECT_TRUE(follow_up(CorrelationId(std::string(kMaxOriginBytes + 1, 'x')), 1).empty());
  EXPECT_TRUE(follow_up({}, 1).empty()) << "what nobody has asked for follows nothing";
}

TEST(OriginTest, TellsRequestsFromWhatANodeDoesByItself) {
  EXPECT_TRUE(is_of_a_request(CorrelationId("client-7/42")));
  EXPECT_TRUE(is_of_a_request(follow_up(CorrelationId("0123456789abcdef0123456789abcdef"), 1)));
  EXPECT_FALSE(is_of_a_request(CorrelationId("0123456789abcdef0123456789abcdef")));
  EXPECT_FALSE(is_of_a_request({}));
}

// --- what a process remembers ---

class TraceRecorderTest : public testing::Test {
 protected:
  static std::vector<std::string> texts(const TraceResponse& told) {
    std::vector<std::string> all;
    for (const TraceLine& line : told.lines()) all.push_back(line.text());
    return all;
  }

  RecordingSink printed_;
  Log log_{printed_, LogLevel::Warning};
  LoopManager loop_{std::make_unique<UvPoller>(), Io::system(), log_};
  const CorrelationId id_{"client-7/42"};
};

TEST_F(TraceRecorderTest, KeepsLinesOfRequestsWhateverIsPrinted) {
  const TraceRecorder recorder(loop_, "snow-fox-test");
  log_.debug("test", "one", {{"count", 3}, {"name", "x y"}, {"ok", true}, {"none", ""}}, id_);
  log_.warning("test", "of nobody");
  log_.info("test", "of another", {}, CorrelationId("client-7/4"));
  log_.error("other", "two", {}, follow_up(id_, 1));
  const TraceResponse told = recorder.find(id_);
  EXPECT_THAT(texts(told), ElementsAre("one", "two"));
  const TraceLine& first = told.lines(0);
  EXPECT_EQ(first.process(), "snow-fox-test");
  EXPECT_EQ(first.pid(), getpid());
  EXPECT_EQ(first.level(), "debug");
  EXPECT_EQ(first.component(), "test");
  EXPECT_GT(first.time_us(), 0);
  EXPECT_GE(told.lines(1).monotonic_ns(), first.monotonic_ns());
  ASSERT_EQ(first.fields_size(), 4);
  EXPECT_EQ(first.fields(0).ShortDebugString(), R"(name: "count" value: "3")");
  EXPECT_EQ(first.fields(1).value(), "x y");
  EXPECT_EQ(first.fields(2).value(), "true");
  EXPECT_EQ(first.fields(3).value(), "");
  EXPECT_EQ(printed_.count("one"), 0);
  EXPECT_THAT(texts(recorder.find(CorrelationId("nobody/1"))), IsEmpty());
}

TEST_F(TraceRecorderTest, ForgetsTheOldestWhenThereAreTooMany) {
  const TraceRecorder recorder(loop_, "test", {.lines = 3, .bytes = 1U << 20});
  for (const char* text : {"1", "2", "3", "4", "5"}) log_.debug("test", text, {}, id_);
  EXPECT_THAT(texts(recorder.find(id_)), ElementsAre("3", "4", "5"));
}

TEST_F(TraceRecorderTest, HoldsNoMoreBytesThanItMay) {
  const TraceRecorder recorder(loop_, "test", {.lines = 1000, .bytes = 20'000});
  const std::string large(1U << 20, 'x');
  for (int i = 0; i < 100; ++i) log_.debug("test", "large", {{"field", large}}, id_);
  EXPECT_LE(recorder.bytes(), 20'000);
  EXPECT_GT(recorder.lines(), 5);
  const TraceResponse told = recorder.find(id_);
  EXPECT_THAT(told.lines(0).fields(0).value(), EndsWith("x…")) << "and says that it is cut";
}

TEST_F(TraceRecorderTest, TellsTheLatestOfVeryMany) {
  const TraceRecorder recorder(loop_, "test");
  for (int i = 0; i < TraceRecorder::kMostTold + 7; ++i) log_.debug("test", std::to_string(i), {}, id_);
  const TraceResponse told = recorder.find(id_);
  EXPECT_EQ(told.lines_size(), TraceRecorder::kMostTold);
  EXPECT_EQ(told.omitted_lines(), 7);
  EXPECT_EQ(told.lines(0).text(), "7");
}

// Goal: whatever is logged, the answer is one that protobuf reads: a text that is no UTF-8 would end the connection.
TEST_F(TraceRecorderTest, TellsWhatIsNoUtf8InAWayThatArrives) {
  const TraceRecorder recorder(loop_, "test");
  std::string hostile;
  for (int c = 0; c < 256; ++c) hostile += static_cast<char>(c);
  std::string umlauts;
  while (umlauts.size() < 2 * TraceRecorder::kMaxTextBytes) umlauts += "xä";
  log_.debug("test", hostile, {{"bytes", hostile}, {"cut", umlauts}, {"half", "\xc3"}}, id_);
  TraceResponse read;
  ASSERT_TRUE(read.ParseFromString(recorder.find(id_).SerializeAsString()));
  ASSERT_EQ(read.lines_size(), 1);
  ASSERT_EQ(read.lines(0).fields_size(), 3);
  EXPECT_THAT(read.lines(0).fields(1).value(), EndsWith("äx…")) << "no half characters";
}

// --- a node ---

class NodeTraceTest : public NodeTest {
 protected:
  static std::string sleeper(const std::string& id, const std::string& more) {
    return "- {id: " + id + ", command: [sleep, '1000'], " + more + "}\n";
  }
  public_api::Trace trace(const std::string& id) {
    const Finished asked = client({"--json", "--trace", id});
    EXPECT_EQ(asked.exit_code, 0) << asked.error;
    public_api::Trace told;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(asked.output, &told).ok()) << asked.output;
    return told;
  }
  /// Process and text of each line, but for those about the links.
  static std::vector<std::string> story(const public_api::Trace& told) {
    std::vector<std::string> all;
    for (const TraceLine& line : told.lines()) {
      if (line.component() != "link") all.push_back(line.process() + ": " + line.text());
    }
    return all;
  }
  /// The id of a request that was made by a client of its own; that says which it was if `code` is refused.
  std::string id_of_latest(const std::string& request) {
    const Finished asked = client({"--json", "--trace"});
    EXPECT_EQ(asked.exit_code, 0) << asked.error;
    public_api::Trace told;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(asked.output, &told).ok()) << asked.output;
    std::string id;
    for (const auto& one : told.requests()) {
      if (one.request() == request) id = one.id();
    }
    return id;
  }
};

// Goal: what a client has asked for is found in each process that had to do with it, in the order of what happened, and
// with times that can be compared, though none of it was printed.
TEST_F(NodeTraceTest, FollowsARequestThroughTheProcesses) {
  configure("log: {level: error}\nservices:\n" + sleeper("web", "autostart: false"));
  start();
  ASSERT_EQ(ask("service.start('web')").exit_code, 0);
  const std::string id = id_of_latest("service_start");
  const public_api::Trace told = trace(id);
  EXPECT_THAT(story(told),
              ElementsAre("snow-fox-manager: request received", "snow-fox-manager: asked to change a service",
                          "snow-fox-spawner: process started", "snow-fox-manager: running",
                          "snow-fox-manager: request answered"));
  std::uint64_t last = 0;
  for (const TraceLine& line : told.lines()) {
    EXPECT_EQ(line.pid(), line.process() == "snow-fox-manager" ? manager() : spawner());
    EXPECT_GE(line.monotonic_ns(), last);
    last = line.monotonic_ns();
  }
  EXPECT_LT(last - told.lines(0).monotonic_ns(), std::chrono::nanoseconds(kPatience).count());
  ASSERT_EQ(told.parts_size(), 3);
  for (const auto& part : told.parts()) EXPECT_EQ(part.missing(), "") << part.process();

  const Finished shown = client({"--trace", id});
  EXPECT_EQ(shown.exit_code, 0) << shown.error;
  const std::string number = "[0-9]+";
  EXPECT_THAT(shown.output, ContainsRegex("^" + id + " at 20.*Z, within .* ms\n  +\\+0.000 ms  snow-fox-manager\\[" +
                                          std::to_string(manager()) + "\\]  info      api: request received"));
  EXPECT_THAT(shown.output, ContainsRegex("snow-fox-spawner\\[" + std::to_string(spawner()) +
                                          "\\]  info      spawner: process started service=web pid=" + number));
  EXPECT_THAT(shown.output, ContainsRegex("snow-fox-spawner\\[[0-9]+\\]  debug     link: asks peer=snow-fox-manager "
                                          "message=start_process\n"));
  stop();
}

// Goal: the lines that are printed say the id, too: those of the process that was started, until it has ended.
TEST_F(NodeTraceTest, FollowsWhatWasStartedToItsEnd) {
  configure("services:\n" + sleeper("web", "autostart: false, restart: always, backoff: 100ms"));
  start();
  ASSERT_EQ(ask("service.start('web')").exit_code, 0);
  const std::string id = id_of_latest("service_start");
  ::kill(service("web").pid(), SIGKILL);
  EXPECT_TRUE(eventually([&] { return service("web").restarts() == 1; }));
  service_in("web", Service::Running);
  EXPECT_THAT(story(trace(id)),
              ElementsAre("snow-fox-manager: request received", "snow-fox-manager: asked to change a service",
                          "snow-fox-spawner: process started", "snow-fox-manager: running",
                          "snow-fox-manager: request answered", "snow-fox-spawner: process ended",
                          "snow-fox-manager: ended", "snow-fox-manager: will be started again"))
      << "that it is started again nobody has asked for";
  EXPECT_THAT(daemon_->error(), ContainsRegex("spawner: process started service=web pid=[0-9]+ id=" + id + "\n"));
  EXPECT_THAT(daemon_->error(), ContainsRegex("service: running service=web pid=[0-9]+ id=" + id + "\n"));
  EXPECT_THAT(daemon_->error(),
              ContainsRegex("spawner: process ended service=web pid=[0-9]+ how=\"killed by SIGKILL\" id=" + id + "\n"));
  EXPECT_THAT(daemon_->error(),
              ContainsRegex("service: ended service=web pid=[0-9]+ how=\"killed by SIGKILL\" id=" + id + "\n"));

  ASSERT_EQ(ask("service.stop('web')").exit_code, 0);
  const std::string stopped = id_of_latest("service_stop");
  EXPECT_THAT(story(trace(stopped)),
              ElementsAre("snow-fox-manager: request received", "snow-fox-manager: asked to change a service",
                          "snow-fox-spawner: process signalled", "snow-fox-spawner: process ended",
                          "snow-fox-manager: ended", "snow-fox-manager: request answered"));
  stop();
}

// Goal: who started a service is known on when the processes that knew have died.
TEST_F(NodeTraceTest, FollowsWhatWasStartedThroughTheDeathOfTheNodesProcesses) {
  configure("services:\n" + sleeper("web", "autostart: false, restart: never"));
  start();
  ASSERT_EQ(ask("service.start('web')").exit_code, 0);
  const std::string id = id_of_latest("service_start");
  const pid_t pid = service("web").pid();
  for (const pid_t part : {manager(), spawner()}) {
    ::kill(part, SIGKILL);
    EXPECT_TRUE(eventually([&] {
      const auto children = children_of(daemon_->pid());
      return std::none_of(children.begin(), children.end(), [&](pid_t child) { return child == part; }) &&
             children.size() >= 2 && status().status().colour() == Status::Green;
    }));
  }
  EXPECT_EQ(service_in("web", Service::Running).pid(), pid);
  ::kill(pid, SIGKILL);
  service_in("web", Service::Failed);
  EXPECT_THAT(story(trace(id)), testing::IsSupersetOf({"snow-fox-spawner: process ended", "snow-fox-manager: ended"}));
  for (const pid_t child : children_of(daemon_->pid())) parts_.push_back(child);
  stop();
}

TEST_F(NodeTraceTest, FollowsAReloadToTheServicesThatItChanges) {
  configure("services:\n" + sleeper("gone", "autostart: true"));
  start();
  service_in("gone", Service::Running);
  configure("services:\n" + sleeper("new", "autostart: true"));
  ASSERT_EQ(ask("node.reload()").exit_code, 0);
  service_in("new", Service::Running);
  const std::string id = id_of_latest("reload");
  EXPECT_TRUE(eventually([&] {
    const auto lines = story(trace(id));
    return std::count(lines.begin(), lines.end(), "snow-fox-spawner: process ended") == 1;
  }));
  EXPECT_THAT(
      story(trace(id)),
      testing::IsSupersetOf({"snow-fox-manager: reload asked for", "snow-fox-manager: configuration reloaded",
                             "snow-fox-manager: in force", "snow-fox-spawner: process started",
                             "snow-fox-manager: not configured any more", "snow-fox-spawner: process signalled"}));
  stop();
}

// Goal: one id from the signal that ends the node to the last process of a service.
TEST_F(NodeTraceTest, LogsTheWholeEndUnderOneId) {
  configure("services:\n" + sleeper("web", "autostart: true"));
  start();
  service_in("web", Service::Running);
  stop();
  const std::string log = daemon_->error();
  std::smatch found;
  ASSERT_TRUE(std::regex_search(log, found, std::regex("daemon: the children are to end id=([0-9a-f]{32})\n"))) << log;
  const std::string id = found[1];
  for (const std::string line :
       {"manager: ending as the daemon asks", "spawner: ending as the daemon asks",
        "spawner: process ended service=web .*", "service: ended service=web .*",
        "daemon: child ended child=snow-fox-manager .*", "daemon: child ended child=snow-fox-spawner .*"}) {
    EXPECT_THAT(log, ContainsRegex(line + " id=" + id + "\n"));
  }
}

TEST_F(NodeTraceTest, TellsTheIdOfWhatWasRefused) {
  start();
  const Finished refused = ask("service.start('nobody')");
  EXPECT_EQ(refused.exit_code, 1);
  std::smatch found;
  ASSERT_TRUE(std::regex_search(refused.error, found, std::regex(R"(\(request (client-\d+/1)\)\n$)"))) << refused.error;
  const Finished shown = client({"--trace", found[1]});
  EXPECT_EQ(shown.exit_code, 0) << shown.error;
  EXPECT_THAT(shown.output, AllOf(HasSubstr("api: request received request=service_start"),
                                  HasSubstr("api: request refused code=NO_SUCH_SERVICE reason=\"no service 'nobody'"),
                                  HasSubstr("api: request answered error=NO_SUCH_SERVICE")));
  stop();
}

TEST_F(NodeTraceTest, ListsTheLatestRequests) {
  start();
  EXPECT_THAT(client({"--trace"}).output, HasSubstr("there were no requests\n"));
  ask("node.status()");
  ask("service.stop('nobody')");
  const Finished listed = client({"--trace"});
  EXPECT_EQ(listed.exit_code, 0) << listed.error;
  EXPECT_THAT(listed.output, ContainsRegex("20.*Z  client-[0-9]+/1 +node_info_request +[0-9.]+ ms  done\n"));
  EXPECT_THAT(listed.output, ContainsRegex("20.*Z  client-[0-9]+/1 +service_stop +[0-9.]+ ms  NO_SUCH_SERVICE\n"));
  stop();
}

TEST_F(NodeTraceTest, SaysThatItKnowsNothingOfARequest) {
  start();
  const Finished unknown = client({"--trace", "nobody/1"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_EQ(unknown.output, "");
  EXPECT_EQ(lines(unknown.error), 1);
  EXPECT_THAT(
      unknown.error,
      HasSubstr(
          "snow-fox-client: node.trace('nobody/1'): nothing is known of a request 'nobody/1', or nothing any more"));
  const Finished impossible = client({"--trace", std::string(40, 'x')});
  EXPECT_EQ(impossible.exit_code, 2);
  EXPECT_THAT(impossible.error, HasSubstr("--trace: node.trace() takes a correlation id: expected 1 to 39"));
  EXPECT_EQ(client({"--trace", "a/1", "--eval", "status"}).exit_code, 2);
  stop();
}

// Goal: a part that hangs costs its own lines and a little time; nobody waits for ever.
TEST_F(NodeTraceTest, TellsWhichPartDoesNotAnswer) {
  configure("services:\n" + sleeper("web", "autostart: false"));
  start();
  ASSERT_EQ(ask("service.start('web')").exit_code, 0);
  const std::string id = id_of_latest("service_start");
  ::kill(spawner(), SIGSTOP);
  const Finished shown = client({"--trace", id, "--timeout", "2s"});
  EXPECT_EQ(shown.exit_code, 0) << shown.error;
  EXPECT_THAT(shown.output, HasSubstr("service: running"));
  EXPECT_THAT(shown.output, Not(HasSubstr("process started")));
  EXPECT_THAT(shown.output, ContainsRegex("\n  snow-fox-spawner is missing: "));
  ::kill(spawner(), SIGCONT);
  EXPECT_THAT(client({"--trace", id}).output, HasSubstr("process started"));
  stop();
}

// Goal: a request of a client of this manager is not taken for one of a manager before it.
TEST_F(NodeTraceTest, GivesNoIdTwiceThoughTheManagerDies) {
  start();
  RawClient before(socket());
  before.introduce();
  const pid_t former = manager();
  ::kill(former, SIGKILL);
  EXPECT_TRUE(eventually([&] {
    const auto children = children_of(daemon_->pid());
    return children.size() == 2 && std::find(children.begin(), children.end(), former) == children.end() &&
           ask("node.status()").exit_code == 0;
  }));
  RawClient after(socket());
  after.introduce();
  EXPECT_NE(before.id(), after.id());
  for (const pid_t child : children_of(daemon_->pid())) parts_.push_back(child);
  stop();
}

// Goal: nothing that a service is given by its environment is to be read in a log or a trace.
TEST_F(NodeTraceTest, KeepsSecretsToItself) {
  configure("log: {level: debug}\nservices:\n" +
            sleeper("web", "autostart: false, environment: {PASSWORD: open-sesame}") +
            "- {id: broken, command: [/no/such/program], autostart: false, environment: {PASSWORD: open-sesame}}\n");
  start({"--log-level", "debug"});
  EXPECT_EQ(ask("service.start('web')").exit_code, 0);
  const std::string id = id_of_latest("service_start");
  EXPECT_THAT(client({"--trace", id}).output, AllOf(HasSubstr("process started"), Not(HasSubstr("open-sesame"))));
  const Finished failed = ask("service.start('broken')");
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(client({"--trace", id_of_latest("service_start")}).output,
              AllOf(HasSubstr("cannot be started"), Not(HasSubstr("open-sesame"))));
  stop();
  EXPECT_THAT(daemon_->error(), Not(HasSubstr("open-sesame")));
}

}  // namespace
}  // namespace snowfox::node
