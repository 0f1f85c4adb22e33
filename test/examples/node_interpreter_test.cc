#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <snowfox/core/error.h>
#include <snowfox/promises/promise.h>

#include "client/interpreter.h"
#include "client/node_client.h"
#include "common/message.h"
#include "support/manual_loop.h"

namespace snowfox::node {
namespace {

using namespace std::chrono_literals;
using public_api::Message;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

/// Scripts, and instead of a node what the test answers.
class InterpreterTest : public testing::Test {
 protected:
  struct Asked {
    Call call;
    Resolver<Message> answer;
  };

  InterpreterTest() { begin({}); }

  void begin(Interpreter::Options options) {
    interpreter_ = std::make_unique<Interpreter>(
        *loop_,
        Interpreter::Host{.ask =
                              [this](const Call& call) {
                                auto [promise, resolver] = make_promise<Message>(*loop_);
                                asked_.push_back({call, std::move(resolver)});
                                return std::move(promise);
                              },
                          .print =
                              [this](const std::string& text) {
                                if (output_full_) throw std::system_error(ENOSPC, std::generic_category(), "output");
                                printed_ += text;
                              },
                          .complain = [this](const std::string& text) { complaints_.push_back(text); },
                          .clear = [this] { printed_ += "<clear>"; },
                          .interrupted = [this] { return looks_ != 0 && --looks_ == 0; },
                          .computing = [](bool) {},
                          .leave = [this](bool wait) { left_ = wait ? "when all is done" : "at once"; }},
        options);
  }

  /// What the script prints until it has ended or waits.
  std::string run(const std::string& code, bool show_values = false) {
    printed_.clear();
    ended_ = false;
    interpreter_->run({code, "=test", show_values}, [this](bool success) {
      ended_ = true;
      success_ = success;
    });
    return printed_;
  }
  std::string value_of(const std::string& code) { return run(code, true); }
  /// Lets the answers come.
  std::string turn() {
    printed_.clear();
    loop_.pass(5ms);
    return printed_;
  }
  Asked take(Call::Kind kind) {
    EXPECT_FALSE(asked_.empty());
    Asked asked = std::move(asked_.front());
    asked_.pop_front();
    EXPECT_EQ(asked.call.kind, kind);
    return asked;
  }
  void answer_status(const std::string& node_name) {
    Message message;
    message.mutable_node_info_response()->set_node_name(node_name);
    message.mutable_node_info_response()->mutable_status()->set_colour(Status::Green);
    take(Call::Kind::Status).answer.resolve(std::move(message));
  }
  void answer_services(Call::Kind kind, const std::vector<std::string>& ids) {
    Message message;
    message.mutable_service_list_response();
    for (const std::string& id : ids) message.mutable_service_list_response()->add_services()->set_id(id);
    take(kind).answer.resolve(std::move(message));
  }
  void answer_ack(Call::Kind kind) {
    Message message;
    message.mutable_ack();
    take(kind).answer.resolve(std::move(message));
  }
  void refuse(Call::Kind kind, const std::string& text) {
    take(kind).answer.reject(RemoteError(make_error(NO_SUCH_SERVICE, text)));
  }
  std::vector<std::string> complaints() { return std::exchange(complaints_, {}); }

  ManualLoop loop_;
  std::deque<Asked> asked_;
  std::string printed_;
  std::vector<std::string> complaints_;
  std::string left_;
  bool output_full_ = false;
  bool ended_ = false;
  bool success_ = false;
  int looks_ = 0;  // at so manieth look it is interrupted
  std::unique_ptr<Interpreter> interpreter_;
};

// --- responses ---

TEST_F(InterpreterTest, GivesAResponseAtOnce) {
  EXPECT_EQ(run("print(node.status())"), "node.status(): pending\n");
  EXPECT_TRUE(ended_);
  EXPECT_EQ(interpreter_->pending(), 1);
}

TEST_F(InterpreterTest, LetsAScriptWaitAndTheLoopGoOn) {
  EXPECT_EQ(run("print('asks') local status = node.status():await() print(status.node_name, status.status.colour)"),
            "asks\n");
  EXPECT_FALSE(ended_);
  EXPECT_TRUE(interpreter_->running());
  answer_status("fox");
  EXPECT_EQ(turn(), "fox\tGreen\n");
  EXPECT_TRUE(ended_);
  EXPECT_FALSE(interpreter_->running());
}

TEST_F(InterpreterTest, JoinsAnswersThatComeInAnyOrder) {
  run("local a, b = node.status(), service.list() print(a:await().node_name, #b:await(), a:await().node_name)");
  Asked status = take(Call::Kind::Status);
  answer_services(Call::Kind::List, {"web", "db"});
  EXPECT_EQ(turn(), "");
  asked_.push_front(std::move(status));
  answer_status("fox");
  EXPECT_EQ(turn(), "fox\t2\tfox\n");
}

TEST_F(InterpreterTest, CallsBackWithTheValueOrTheError) {
  run("for i = 1, 2 do service.start('web'):on(function(s, e) print(s and s.id, e and e.code, e) end) end");
  EXPECT_TRUE(ended_);
  refuse(Call::Kind::Start, "none");
  answer_services(Call::Kind::Start, {"web"});
  EXPECT_EQ(turn(), "nil\tNO_SUCH_SERVICE\tservice.start('web'): none\nweb\tnil\tnil\n");
  EXPECT_THAT(complaints(), IsEmpty());
  EXPECT_EQ(interpreter_->exit_code(), 0) << "who listens has dealt with it";
}

TEST_F(InterpreterTest, CallsBackLaterAlsoIfItIsThereAlready) {
  run("p = node.status()");
  answer_status("fox");
  EXPECT_EQ(turn(), "");
  EXPECT_EQ(run("p:on(function(s) print(s.node_name) end) print('first')"), "first\n");
  EXPECT_EQ(turn(), "fox\n");
}

// Goal: what is printed does not depend on how a script is written, but on whether it keeps the response.
TEST_F(InterpreterTest, PrintsWhatNobodyKeeps) {
  run("node.status()");
  answer_status("one");
  EXPECT_THAT(turn(), StartsWith("node           one\n"));
  run("local function ask() return node.status() end ask()");
  answer_status("two");
  EXPECT_THAT(turn(), StartsWith("node           two\n"));
  value_of("node.status()");
  answer_status("three");
  EXPECT_THAT(turn(), StartsWith("node           three\n"));
  run("p = node.status() q = {node.status()}");
  answer_status("four");
  answer_status("five");
  EXPECT_EQ(turn(), "");
  EXPECT_THAT(value_of("p"), StartsWith("node           four\n"));
  run("node.status() client.sleep(1):await()");
  answer_status("six");
  EXPECT_THAT(turn(), StartsWith("node           six\n")) << "while the script goes on";
}

TEST_F(InterpreterTest, TellsOfFailuresThatNobodyTakes) {
  run("service.stop('web')");
  refuse(Call::Kind::Stop, "none");
  turn();
  EXPECT_THAT(complaints(), ElementsAre("service.stop('web'): none"));
  EXPECT_EQ(interpreter_->exit_code(), 1);
  run("p = service.stop('kept')");
  refuse(Call::Kind::Stop, "none either");
  turn();
  EXPECT_THAT(complaints(), IsEmpty());
  bool idle = false;
  interpreter_->when_idle([&] { idle = true; });
  EXPECT_TRUE(idle);
  EXPECT_THAT(complaints(), ElementsAre("service.stop('kept'): none either")) << "nobody can any more";
}

TEST_F(InterpreterTest, RaisesWhatIsAwaitedAndFails) {
  run("local ok, e = pcall(function() return service.stop('web'):await() end) print(ok, 'it failed: ' .. e)");
  refuse(Call::Kind::Stop, "none");
  EXPECT_EQ(turn(), "false\tit failed: service.stop('web'): none\n");
  run("service.stop('web'):await() print('not here')");
  refuse(Call::Kind::Stop, "none");
  EXPECT_EQ(turn(), "");
  EXPECT_THAT(complaints(), ElementsAre("service.stop('web'): none"));
  EXPECT_TRUE(ended_);
  EXPECT_FALSE(success_);
  EXPECT_EQ(interpreter_->exit_code(), 1);
}

TEST_F(InterpreterTest, WaitsInCoroutinesOfScripts) {
  run("local each = coroutine.wrap(function() for i = 1, 2 do coroutine.yield(node.status():await().node_name) end "
      "end)\n"
      "for name in each do print(name) end\n"
      "print(coroutine.resume(coroutine.create(function() return service.list():await() end)))");
  answer_status("one");
  EXPECT_EQ(turn(), "one\n");
  answer_status("two");
  EXPECT_EQ(turn(), "two\n");
  refuse(Call::Kind::List, "no list");
  EXPECT_EQ(turn(), "false\tservice.list(): no list\n");
  EXPECT_TRUE(ended_);
}

TEST_F(InterpreterTest, SaysWhereItCannotWait) {
  run("table.sort({1, 2}, function(a, b) node.status():await() return a < b end)");
  EXPECT_THAT(complaints(), ElementsAre(StartsWith("test:1: await() cannot wait inside of what C has called")));
}

TEST_F(InterpreterTest, TakesNoMoreRequestsThanItCanKeep) {
  begin({.most_pending = 3});
  run("for i = 1, 4 do node.status() end");
  EXPECT_EQ(asked_.size(), 3);
  EXPECT_THAT(complaints(), ElementsAre("test:1: 3 answers are still to come: await some of them first"));
}

// --- what is watched ---

TEST_F(InterpreterTest, TellsEachChangeOfWhatIsWatched) {
  public_api::Event event;
  event.mutable_service()->set_id("web");
  run("service.watch('web'):on(function(s) print(s.id, s.removed) end)");
  answer_services(Call::Kind::Watch, {"web"});
  EXPECT_EQ(turn(), "web\tnil\n");
  printed_.clear();
  interpreter_->heard("web", event);
  event.set_removed(true);
  interpreter_->heard("web", event);
  interpreter_->heard("other", event);
  EXPECT_EQ(std::exchange(printed_, {}), "web\tfalse\nweb\ttrue\n");

  interpreter_->lost("gone", /*again=*/true);
  EXPECT_THAT(complaints(), ElementsAre("the connection to the node is lost: gone"));
  interpreter_->watch_again();
  answer_services(Call::Kind::Watch, {"web"});
  EXPECT_EQ(turn(), "web\tnil\n");

  run("service.unwatch('web')");
  answer_ack(Call::Kind::Unwatch);
  turn();
  interpreter_->heard("web", event);
  EXPECT_EQ(printed_, "");
}

TEST_F(InterpreterTest, PrintsWhatIsWatchedUnlessItIsListenedTo) {
  public_api::Event event;
  event.mutable_service()->set_id("web");
  for (int i = 0; i < 2; ++i) {
    run("service.watch()");
    answer_services(Call::Kind::Watch, {"web"});
    EXPECT_THAT(turn(), StartsWith("web "));
  }
  printed_.clear();
  interpreter_->heard("", event);
  EXPECT_THAT(printed_, StartsWith("web "));
  EXPECT_EQ(std::count(printed_.begin(), printed_.end(), '\n'), 2) << "a service that is not Green takes two lines";
  bool idle = false;
  interpreter_->when_idle([&] { idle = true; }, /*to_the_end=*/true);
  EXPECT_FALSE(idle);
  interpreter_->lost("gone", /*again=*/false);
  EXPECT_TRUE(idle);
  EXPECT_EQ(interpreter_->exit_code(), 1);
}

TEST_F(InterpreterTest, TellsOnceOfAConnectionThatIsLost) {
  run("node.status() node.status()");
  const std::error_code reset = std::make_error_code(std::errc::connection_reset);
  interpreter_->lost(reset.message(), false);
  for (int i = 0; i < 2; ++i) take(Call::Kind::Status).answer.reject(reset);
  turn();
  EXPECT_THAT(complaints(), ElementsAre("the connection to the node is lost: Connection reset by peer; "
                                        "without an answer: 2"));
  EXPECT_EQ(interpreter_->exit_code(), 1);
}

// --- scripts that must be stopped ---

TEST_F(InterpreterTest, IsInterruptedWhateverTheScriptCatches) {
  for (const std::string code :
       {"while true do end", "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "local function again() while true do coroutine.wrap(again)() end end again()",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "local t <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
        "setmetatable(_G, {__index = function() while true do end end}) return tostring(nothing)",
        "string.gsub(('x'):rep(1000), 'x', function() while true do end end)", "load(function() while true do end end)",
        "table.sort({3, 2, 1}, function() while true do end end)"}) {
    begin({});
    looks_ = 3;
    run(code);
    EXPECT_TRUE(ended_) << code;
    EXPECT_FALSE(success_) << code;
    EXPECT_THAT(complaints(), ElementsAre("interrupted")) << code;
    EXPECT_EQ(value_of("1 + 1"), "2\n") << "and the next one runs, after " << code;
  }
}

TEST_F(InterpreterTest, InterruptsWhatWaits) {
  run("pcall(function() node.status():await() end) while true do client.sleep(1):await() end");
  loop_.pass(10ms);
  EXPECT_TRUE(interpreter_->interrupt());
  EXPECT_TRUE(ended_);
  EXPECT_THAT(complaints(), ElementsAre("interrupted"));
  EXPECT_FALSE(interpreter_->interrupt());
  answer_status("fox");
  EXPECT_EQ(turn(), "") << "that it was awaited counts";
}

TEST_F(InterpreterTest, GivesScriptsNoMoreMemoryThanItHas) {
  begin({.memory_bytes = 4U << 20});
  for (const std::string code : {"t = {} for i = 1, 1e9 do t[i] = {} end", "s = ('x'):rep(1e9)",
                                 "local function f() return 1 + f() end f()", "s = 'x' while true do s = s .. s end"}) {
    run(code);
    EXPECT_TRUE(ended_);
    ASSERT_EQ(complaints_.size(), 1) << code;
    EXPECT_THAT(complaints(), testing::AnyOf(ElementsAre("not enough memory: scripts may take 4 MiB"),
                                             ElementsAre(HasSubstr("stack overflow")),
                                             ElementsAre(HasSubstr("string length overflow"))));
    EXPECT_EQ(run("t, s = nil print(1)"), "1\n") << "there is room to clean up, after " << code;
  }
}

TEST_F(InterpreterTest, HasNoFinalizersAndNothingThatCountsToTheEndOfTime) {
  EXPECT_EQ(value_of("pcall(setmetatable, {}, {__gc = function() end})"),
            "false\ta __gc is not possible here: nothing could interrupt it\n");
  EXPECT_EQ(value_of("getmetatable(io.stdout), getmetatable(node.status())"), "false\tfalse\n");
  EXPECT_EQ(value_of("#string.rep('', 1e15), ('ab'):rep(2, '-')"), "0\tab-ab\n");
}

TEST_F(InterpreterTest, LoadsNoModulesInC) {
  EXPECT_EQ(value_of("package.cpath, package.loadlib, #package.searchers, debug.sethook"), "\tnil\t2\tnil\n");
}

// --- leaving ---

TEST_F(InterpreterTest, LeavesWhateverTheScriptCatches) {
  run("client.sleep(1):on(print) pcall(client.exit, 3) print('not here')");
  EXPECT_EQ(printed_, "");
  EXPECT_EQ(left_, "when all is done");
  EXPECT_TRUE(interpreter_->left());
  EXPECT_EQ(interpreter_->exit_code(), 3);
  EXPECT_THAT(complaints(), IsEmpty());
  begin({});
  run("os.exit(false)");
  EXPECT_EQ(left_, "at once");
  EXPECT_EQ(interpreter_->exit_code(), 1);
}

TEST_F(InterpreterTest, LeavesFromWhatIsCalledBackToo) {
  run("client.sleep(0):on(function() exit() end) client.sleep(1000):await() print('not here')");
  EXPECT_EQ(turn(), "");
  EXPECT_TRUE(ended_);
  EXPECT_EQ(left_, "when all is done");
}

// --- what is shown ---

TEST_F(InterpreterTest, ShowsValuesAsLuaDoes) {
  EXPECT_EQ(value_of("1, 'two', nil, true, 1.5"), "1\ttwo\tnil\ttrue\t1.5\n");
  EXPECT_EQ(value_of("x = 1"), "");
  EXPECT_EQ(value_of("x = 2; x, 'a;b'"), "2\ta;b\n");
  EXPECT_EQ(value_of("x = {y = 3}; x.y, x.y"), "3\t3\n");
  EXPECT_EQ(value_of("local y = 3\ny\n"), "3\n");
  EXPECT_EQ(value_of("pcall(error, setmetatable({}, {__tostring = function() return 'text' end}))"), "false\ttext\n");
  EXPECT_EQ(value_of("(function() end)()"), "");
  EXPECT_EQ(value_of("{b = {1, 2, 'x'}, a = {}, [1] = false, ['c d'] = {e = '\"\\n'}}"),
            "{\n  [1] = false,\n  a = {},\n  b = {1, 2, \"x\"},\n  [\"c d\"] = {\n    e = \"\\\"\\n\",\n  },\n}\n");
  EXPECT_EQ(run("t = {} t.t = t pprint(t, '\\27[2J')"), "{\n  t = <this again>,\n}\n\"\\x1b[2J\"\n");
  EXPECT_EQ(value_of("node.reload"), "node.reload(): have the node read its configuration again\n");
  EXPECT_EQ(value_of("clear"), "<clear>");
}

TEST_F(InterpreterTest, ShowsValuesAsJson) {
  begin({.json = true});
  EXPECT_EQ(value_of("1, 'a\"b', nil, {1, {x = 1.5, [2] = 0 / 0}}, {}"),
            "1\n\"a\\\"b\"\nnull\n[1,{\"2\":null,\"x\":1.5}]\n{}\n");
  run("service.list()");
  answer_services(Call::Kind::List, {});
  EXPECT_EQ(turn(), "[]\n");
  value_of("service.list():await()");
  answer_services(Call::Kind::List, {});
  EXPECT_EQ(turn(), "[]\n");
  run("node.reload()");
  answer_ack(Call::Kind::Reload);
  EXPECT_EQ(turn(), "true\n");
  value_of("(function() local t = {} t.t = t return t end)()");
  EXPECT_THAT(complaints(), ElementsAre(HasSubstr("contains itself")));
}

TEST_F(InterpreterTest, TellsErrorsWithTheirLineAndWhoCalled) {
  run("local function f()\n  error('boom')\nend\n\nf()");
  EXPECT_THAT(complaints(), ElementsAre("test:2: boom\n  called from test:5"));
  run("x =\n= 1");
  EXPECT_THAT(complaints(), ElementsAre("test:2: unexpected symbol near '='"));
  run("error({code = 1})");
  EXPECT_THAT(complaints(), ElementsAre("{\n  code = 1,\n}"));
  EXPECT_EQ(interpreter_->exit_code(), 2);
}

TEST_F(InterpreterTest, CountsWhatCannotBePrintedAsAFailureOfItsOwn) {
  output_full_ = true;
  run("print(1)");
  EXPECT_THAT(complaints(), ElementsAre("output: No space left on device"));
  EXPECT_EQ(interpreter_->exit_code(), 1);
}

TEST_F(InterpreterTest, KnowsWhatIsIncomplete) {
  for (const std::string code : {"for i = 1, 2 do", "f(", "x = [[", "function f()\nreturn 1", "{1,", "for"}) {
    EXPECT_TRUE(interpreter_->incomplete(code)) << code;
  }
  for (const std::string code : {"", "1 + 1", "x = 1", "x = )", "x = 1; x", "x = {}; x.y", "x = {}; x.y, x.z"}) {
    EXPECT_FALSE(interpreter_->incomplete(code)) << code;
  }
}

TEST_F(InterpreterTest, CompletesNames) {
  EXPECT_THAT(interpreter_->names_like("node.s"), testing::UnorderedElementsAre("node.status(", "node.shutdown("));
  EXPECT_THAT(interpreter_->names_like("ppr"), ElementsAre("pprint("));
  run("p = node.status() s = 'x' u = {v = {w = 1, w2 = print}}");
  EXPECT_THAT(interpreter_->names_like("p:aw"), ElementsAre("p:await("));
  EXPECT_THAT(interpreter_->names_like("s:upp"), ElementsAre("s:upper("));
  EXPECT_THAT(interpreter_->names_like("u.v.w"), testing::UnorderedElementsAre("u.v.w", "u.v.w2("));
  EXPECT_THAT(interpreter_->names_like("u.v:w"), ElementsAre("u.v:w2("));
  EXPECT_THAT(interpreter_->names_like("nothing.x"), IsEmpty());
  EXPECT_THAT(interpreter_->names_like("1..x"), IsEmpty());
}

}  // namespace
}  // namespace snowfox::node
