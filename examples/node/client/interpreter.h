#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>

#include "client/call.h"
#include "client/lua_state.h"
#include "client/paint.h"
#include "client/response.h"

namespace snowfox::node {

/// Runs Lua that asks a node. What a script asks for it has at once, as a response that is pending: `:await()` lets the
/// script wait while the loop goes on, `:on(f)` calls f with the value or the error. What nobody holds, awaits or
/// listens to is printed when it comes, and so are the events of what is watched.
///
/// A script is a task, and each call of a function given to `:on()` is one; each has a coroutine. One runs until it
/// waits. Nothing that a script does throws here: it is told to Host::complain, and counts in exit_code().
class Interpreter {
 public:
  using Message = public_api::Message;

  /// What it knows of the world. None may be empty.
  struct Host {
    std::function<Promise<Message>(const Call&)> ask;  ///< the answer fits the call
    /// Text with a newline at its end, for standard output. May throw std::system_error.
    std::function<void(const std::string& text)> print;
    /// A line or more, without the last newline, of what has failed.
    std::function<void(const std::string& text)> complain;
    std::function<void()> clear;           ///< the screen
    std::function<bool()> interrupted;     ///< asked while a script computes; must not throw
    std::function<void(bool)> computing;   ///< a script begins to compute, and has ended to
    std::function<void(bool wait)> leave;  ///< a script wants to leave, after all answers have come if `wait`
  };
  struct Options {
    bool json = false;
    Paint paint{};
    std::size_t memory_bytes = std::size_t{64} << 20;
    Duration timeout{};  ///< for texts: how long an answer is waited for
    std::size_t most_pending = 100'000;
  };

  /// `loop` must outlive it, and is not to run any more when it is destroyed.
  Interpreter(LoopManager& loop, Host host, Options options);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  struct Script {
    std::string code;
    /// By which errors call it, as Lua wants it: `@path`, `=name`.
    std::string name;
    /// It may be an expression; its values are printed.
    bool show_values = false;
    /// Errors name no line: there is but one.
    bool one_line = false;
  };
  /// Is called with whether the script has come to its end.
  using OnEnd = std::function<void(bool)>;
  /// Runs a script; `on_end` is called when it has ended, maybe before this returns. One at a time.
  void run(const Script& script, OnEnd on_end);
  /// Whether that script has not ended.
  bool running() const noexcept { return foreground_ != 0; }
  /// Whether `code` could be right if more followed.
  bool incomplete(const std::string& code);
  /// Ends all that waits or runs. Whether there was anything.
  bool interrupt();

  /// What is asked and not answered, and what waits.
  std::size_t pending() const noexcept { return pending_; }
  /// Calls `function`, once, when all answers have come, been shown and dealt with: at once if so. What is watched
  /// counts if `to_the_end`.
  void when_idle(std::function<void()> function, bool to_the_end = false);
  /// The connection is lost; what was asked will be rejected. What is watched is so no more unless it is watched
  /// `again`.
  void lost(const std::string& reason, bool again);
  /// Watches again, over a new connection.
  void watch_again();
  /// The node tells of what was watched by this id.
  void heard(const std::string& watched, const public_api::Event& event);

  /// 0 if nothing has failed; 1: no answer; 2: a mistake in a script; or what a script has left with.
  int exit_code() const noexcept { return left_with_.value_or(exit_code_); }
  const std::optional<int>& left_with() const noexcept { return left_with_; }
  /// A script has left; Host::leave has been called, or will be when it has ended.
  bool left() const noexcept { return left_; }

  /// What the name at the end of `path`, such as `node.st`, could become.
  std::vector<std::string> names_like(const std::string& path);

 private:
  struct Task {
    lua_State* state = nullptr;
    int reference = LUA_NOREF;  // keeps it
    bool show_values = false;
    bool one_line = false;
    OnEnd on_end;
  };
  using TaskId = std::uint64_t;

  // Functions of scripts.
  template <int (Interpreter::*function)(lua_State*)>
  static int method(lua_State* state);
  static int await_again(lua_State* state, int status, lua_KContext context);
  int ask(lua_State* state);
  int await(lua_State* state);
  int on(lua_State* state);
  int print(lua_State* state);
  int pprint(lua_State* state);
  int sleep(lua_State* state);
  int version(lua_State* state);
  int exit(lua_State* state);
  int leave_at_once(lua_State* state);
  int command(lua_State* state);
  void open(lua_State* state);
  void open_command(lua_State* state, const char* name, int which);

  void start(Task task, const std::function<int(lua_State*)>& push);
  void resume(TaskId id, int arguments);
  void ended(TaskId id, int status, int results);
  void failed(const Task& task, int status);
  std::string error_text(lua_State* state, const Task& task);
  void end(TaskId id, bool success);
  void call_back(int function, const std::function<int(lua_State*)>& push_arguments);
  void release(const std::vector<int>& functions);

  void send(const ResponseRef& response);
  void wait_for(const ResponseRef& response, Promise<void> promise);
  Failure failure_of(const Response& response, const std::exception_ptr& error) const;
  void take(Response& response);
  void settled(const ResponseRef& response);
  void watch_settled(const ResponseRef& response);
  std::vector<int> listeners(const std::string& watched) const;
  void tell_services(const std::vector<int>& functions, const public_api::ServiceListResponse& list);
  void call_back(const ResponseRef& response);
  void review_soon();
  void review();
  void report_kept();
  void show(Response& response);
  void show_values(lua_State* state);
  bool show_special(lua_State* state, int index);
  static int push_outcome(lua_State* state, const Response& response);
  void say(const std::string& text) noexcept;
  void complain(const std::string& text, int exit_code) noexcept;
  void complain(const Failure& failure) noexcept;
  void look_if_idle();
  std::string help() const;
  void do_command(int which);
  [[noreturn]] void leave(lua_State* state, bool wait);
  void write(lua_State* state, const std::string& text);
  void stop_all(LuaState::Stop why);

  LoopManager& loop_;
  Host host_;
  Options options_;
  LuaState lua_;
  std::map<TaskId, Task> tasks_;
  TaskId last_task_ = 0;
  TaskId current_ = 0;     // that computes
  TaskId foreground_ = 0;  // the script
  std::size_t pending_ = 0;
  std::size_t untaken_ = 0;                          // of those, requests that no script waits for or listens to
  std::uint32_t losses_ = 0;                         // of the connection
  std::vector<ResponseRef> unclaimed_;               // settled, and no script has asked what came of them
  std::vector<ResponseRef> kept_;                    // of these the rejected that a script holds
  std::multimap<std::string, ResponseRef> watches_;  // by the id that is watched
  bool review_due_ = false;
  std::function<void()> when_idle_;
  bool to_the_end_ = false;
  std::string last_general_;  // failure told
  int exit_code_ = 0;
  std::optional<int> left_with_;
  bool left_ = false;
  bool leave_waits_ = false;
  bool stopping_all_ = false;
  bool interruption_told_ = false;
};

}  // namespace snowfox::node
