#include "client/interpreter.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include <fmt/format.h>

#include <snowfox/core/error.h>
#include <snowfox/promises/sleep.h>

#include "client/call_meaning.h"
#include "client/lua_value.h"
#include "client/message_text.h"
#include "client/node_client.h"
#include "common/message.h"

namespace snowfox::node {
namespace {

constexpr int kNoAnswer = 1;
constexpr int kScriptError = 2;
constexpr int kInterrupted = 128 + 2;  // as a shell has it of SIGINT

/// What comes together is looked at together, for that takes a walk through all that scripts have.
constexpr Duration kReviewAfter = std::chrono::milliseconds(1);
constexpr std::size_t kMostCallers = 10;
/// At so many places the expression that a script ends in is looked for.
constexpr int kMostEnds = 50;

/// Pushes a function and gives nothing, or what is wrong with the code.
std::optional<std::string> load(lua_State* state, const Interpreter::Script& script, const std::string& code) {
  if (luaL_loadbufferx(state, code.data(), code.size(), script.name.c_str(), "t") == LUA_OK) return std::nullopt;
  std::string error = luaL_tolstring(state, -1, nullptr);
  lua_pop(state, 2);
  return error;
}

/// The same for a script as it is to be run: one whose values are shown may be an expression, or end in one after a `;`
/// or in a line of its own. Whether it could be right if more followed is what `more` is set to.
std::optional<std::string> load(lua_State* state, const Interpreter::Script& script, bool& more) {
  std::string code = script.code;
  // Keeps the numbers of lines.
  if (code.starts_with("#!")) code.erase(0, std::min(code.find('\n'), code.size()));
  more = false;
  if (script.show_values) {
    const auto error = load(state, script, "return " + code);
    if (!error) return std::nullopt;
    more = error->ends_with("<eof>");
  }
  auto error = load(state, script, code);
  if (!error || !script.show_values) return error;
  std::size_t end = code.size();
  for (int tries = 0; tries < kMostEnds && end != 0; ++tries) {
    end = code.find_last_of(";\n", end - 1);
    if (end == std::string::npos) break;
    std::string with_value = code;
    if (!load(state, script, with_value.insert(end + 1, " return "))) return std::nullopt;
  }
  // A value alone is no statement at its end; then nothing that follows would help.
  more = more || (error->ends_with("<eof>") && !error->ends_with("syntax error near <eof>"));
  return error;
}

/// From where the function that has failed was called.
std::string callers(lua_State* task) {
  std::string text;
  std::size_t frames = 0;
  lua_Debug frame{};
  for (int level = 0; lua_getstack(task, level, &frame) != 0; ++level) {
    lua_getinfo(task, "Sl", &frame);
    if (frame.currentline <= 0 || std::string_view(frame.source) == LuaState::kOwnChunk) continue;
    if (frames++ == 0) continue;
    if (frames > kMostCallers) return text + "\n  and so on";
    text += fmt::format("\n  called from {}:{}", frame.short_src, frame.currentline);
  }
  return text;
}

}  // namespace

Interpreter::Interpreter(LoopManager& loop, Host host, Options options)
    : loop_(loop),
      host_(std::move(host)),
      options_(options),
      lua_(options.memory_bytes, [this] { return host_.interrupted(); }) {
  std::string error;
  if (!lua_.protect([this](lua_State* state) { open(state); }, &error)) {
    throw std::runtime_error("cannot start Lua: " + error);
  }
}

Interpreter::~Interpreter() = default;

// --- tasks ---

void Interpreter::run(const Script& script, OnEnd on_end) {
  Task task;
  task.show_values = script.show_values;
  task.one_line = script.one_line;
  task.on_end = std::move(on_end);
  foreground_ = last_task_ + 1;
  last_general_.clear();
  start(std::move(task), [&script](lua_State* state) {
    bool more = false;
    const auto error = load(state, script, more);
    if (!error) return 0;
    lua_pushlstring(state, error->data(), error->size());
    return lua_error(state);
  });
}

bool Interpreter::incomplete(const std::string& code) {
  bool more = false;
  lua_.protect([&](lua_State* state) {
    if (!load(state, {code, "=prompt", true}, more)) more = false;
  });
  return more;
}

// `push` pushes a function and its arguments, and returns how many these are.
void Interpreter::start(Task given, const std::function<int(lua_State*)>& push) {
  const TaskId id = ++last_task_;
  Task& task = tasks_[id] = std::move(given);
  lua_.make_room();
  int arguments = 0;
  std::string error;
  const bool ready = lua_.protect(
      [&](lua_State* state) {
        task.state = lua_newthread(state);
        task.reference = luaL_ref(state, LUA_REGISTRYINDEX);
        arguments = push(state);
        lua_xmove(state, task.state, arguments + 1);
      },
      &error);
  if (ready) return resume(id, arguments);
  const std::string place = "prompt:1: ";
  if (task.one_line && error.starts_with(place)) error.erase(0, place.size());
  complain(printable(error), kScriptError);
  end(id, false);
}

void Interpreter::resume(TaskId id, int arguments) {
  Task& task = tasks_.at(id);
  current_ = id;
  host_.computing(true);
  int results = 0;
  const int status = lua_resume(task.state, lua_.get(), arguments, &results);
  host_.computing(false);
  current_ = 0;
  if (status == LUA_YIELD && results == 1 && LuaState::is_wait(task.state, -1)) {
    lua_pop(task.state, 1);
    return;
  }
  ended(id, status, results);
}

void Interpreter::ended(TaskId id, int status, int results) {
  const Task& task = tasks_.at(id);
  if (status == LUA_YIELD) {
    complain("attempt to yield from outside a coroutine", kScriptError);
  } else if (status != LUA_OK) {
    failed(task, status);
  } else if (task.show_values) {
    std::string error;
    const auto show = [&](lua_State* state) {
      luaL_checkstack(state, results + 10, "too many values");
      lua_xmove(task.state, state, results);
      show_values(state);
    };
    if (!lua_.protect(show, &error)) complain(printable(error), kScriptError);
  }
  const bool leaves = lua_.stopping() == LuaState::Stop::Left;
  end(id, status == LUA_OK);
  if (stopping_all_) return;
  lua_.go_on();
  interruption_told_ = false;
  if (leaves) {
    stop_all(LuaState::Stop::Left);
    host_.leave(leave_waits_);
  }
  look_if_idle();
}

void Interpreter::failed(const Task& task, int status) {
  if (lua_.stopping() == LuaState::Stop::Left) return;
  if (lua_.stopping() == LuaState::Stop::Interrupted) {
    if (!std::exchange(interruption_told_, true)) complain("interrupted", kInterrupted);
    return;
  }
  if (status == LUA_ERRMEM) {
    return complain(fmt::format("not enough memory: scripts may take {} MiB", options_.memory_bytes >> 20),
                    kScriptError);
  }
  std::optional<Failure> failure;
  std::string text;
  lua_.protect(
      [&](lua_State* state) {
        lua_xmove(task.state, state, 1);
        failure = failure_at(state, -1);
        if (!failure) text = error_text(state, task);
      },
      &text);
  failure ? complain(*failure) : complain(text, kScriptError);
}

std::string Interpreter::error_text(lua_State* state, const Task& task) {
  const bool table = lua_type(state, -1) == LUA_TTABLE && luaL_getmetafield(state, -1, "__tostring") == LUA_TNIL;
  std::string text = table ? pretty(state, -1, {}) : luaL_tolstring(state, -1, nullptr);
  std::replace(text.begin(), text.end(), '\t', ' ');
  const std::string place = "prompt:1: ";
  if (task.one_line && text.starts_with(place)) text.erase(0, place.size());
  // What the user has written himself may have several lines.
  std::string shown;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    shown += (begin == 0 ? "" : "\n") + printable(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
  }
  return shown + (task.one_line ? "" : callers(task.state));
}

void Interpreter::end(TaskId id, bool success) {
  Task task = std::move(tasks_.at(id));
  tasks_.erase(id);
  // What is to be closed is; but where a hook has ended it, nothing could end what is called.
  if (!success && task.state != nullptr && lua_.stopping() == LuaState::Stop::No) {
    lua_.protect([&task](lua_State*) { lua_resetthread(task.state); });
  }
  release({task.reference});
  if (id == foreground_) foreground_ = 0;
  if (task.on_end) task.on_end(success);
}

bool Interpreter::interrupt() {
  if (tasks_.empty()) return false;
  stop_all(LuaState::Stop::Interrupted);
  look_if_idle();
  return true;
}

void Interpreter::stop_all(LuaState::Stop why) {
  stopping_all_ = true;
  lua_.stop(why);
  while (!tasks_.empty()) resume(tasks_.begin()->first, 0);
  stopping_all_ = false;
  interruption_told_ = false;
  lua_.go_on();
}

void Interpreter::call_back(int function, const std::function<int(lua_State*)>& push_arguments) {
  start({}, [&](lua_State* state) {
    lua_rawgeti(state, LUA_REGISTRYINDEX, function);
    return push_arguments(state);
  });
}

void Interpreter::release(const std::vector<int>& functions) {
  lua_.protect([&](lua_State* state) {
    for (const int function : functions) luaL_unref(state, LUA_REGISTRYINDEX, function);
  });
}

// --- responses ---

void Interpreter::send(const ResponseRef& response) {
  Promise<void> answered =
      host_.ask(*response->call).then([response](Message&& answer) { response->answer = std::move(answer); });
  response->losses = losses_;
  ++untaken_;
  wait_for(response, std::move(answered));
}

void Interpreter::wait_for(const ResponseRef& response, Promise<void> promise) {
  // Time that only goes by is nothing to wait for in the end.
  if (response->call) ++pending_;
  std::move(promise)
      .then([response] { response->state = Response::State::Fulfilled; })
      .otherwise([this, response](const std::exception_ptr& error) {
        response->failure = failure_of(*response, error);
        response->state = Response::State::Rejected;
      })
      .finally([this, response] { settled(response); })
      .detach();
}

Failure Interpreter::failure_of(const Response& response, const std::exception_ptr& error) const {
  try {
    std::rethrow_exception(error);
  } catch (const GeneralFailure& failure) {
    return failure.failure();
  } catch (const RemoteError& refusal) {
    return {ErrorCode_Name(refusal.code()), printable(refusal.what()), response.name};
  } catch (const NoAnswer& failure) {
    return {"TIMED_OUT", failure.what(), response.name};
  } catch (const std::system_error& failure) {
    const bool none = failure.code() == std::errc::not_connected;
    return {none ? "NOT_CONNECTED" : "CONNECTION_LOST", tell(error, options_.timeout), response.name};
  } catch (...) {
    return {"FAILED", printable(describe(error)), response.name};
  }
}

void Interpreter::take(Response& response) {
  if (std::exchange(response.taken, true)) return;
  if (response.state == Response::State::Pending && response.call) --untaken_;
}

void Interpreter::settled(const ResponseRef& response) {
  if (response->call || !response->callbacks.empty()) --pending_;
  if (response->call && !response->taken) --untaken_;
  if (response->state == Response::State::Rejected) response->told = response->losses != losses_;
  watch_settled(response);
  if (!response->again) call_back(response);
  for (const TaskId task : std::exchange(response->awaiting, {})) {
    if (tasks_.contains(task)) resume(task, 0);
  }
  if (response->wanted) {
    show(*response);
  } else if (!response->taken) {
    unclaimed_.push_back(response);
    review_soon();
  }
  look_if_idle();
}

void Interpreter::watch_settled(const ResponseRef& response) {
  if (!response->call) return;
  const Call& call = *response->call;
  const bool fulfilled = response->state == Response::State::Fulfilled;
  const auto watches = watches_.equal_range(call.id);
  if (call.kind == Call::Kind::Watch && fulfilled && !response->again) {
    // Of those that only print, one is enough.
    std::erase_if(watches_, [&](const auto& watch) {
      return watch.first == call.id && watch.second->callbacks.empty() && !watch.second->held;
    });
    watches_.emplace(call.id, response);
  } else if (call.kind == Call::Kind::Watch && fulfilled) {
    const std::vector<int> functions = listeners(call.id);
    if (functions.empty()) return show(*response);
    tell_services(functions, response->answer.service_list_response());
  } else if ((call.kind == Call::Kind::Unwatch && fulfilled) || response->again) {
    if (response->again) show(*response);
    for (auto each = watches.first; each != watches.second; ++each) release(std::exchange(each->second->callbacks, {}));
    watches_.erase(watches.first, watches.second);
  }
}

std::vector<int> Interpreter::listeners(const std::string& watched) const {
  std::vector<int> functions;
  const auto watches = watches_.equal_range(watched);
  for (auto each = watches.first; each != watches.second; ++each) {
    functions.insert(functions.end(), each->second->callbacks.begin(), each->second->callbacks.end());
  }
  return functions;
}

void Interpreter::tell_services(const std::vector<int>& functions, const public_api::ServiceListResponse& list) {
  for (const int function : functions) {
    for (const public_api::Service& service : list.services()) {
      call_back(function, [&service](lua_State* state) {
        push_message(state, service);
        return 1;
      });
    }
  }
}

void Interpreter::call_back(const ResponseRef& response) {
  const bool watched = response->call && response->call->kind == Call::Kind::Watch;
  if (watched && response->state == Response::State::Fulfilled) {
    const std::vector<int> listeners = response->callbacks;  // one that is called may add others
    return tell_services(listeners, response->answer.service_list_response());
  }
  // It may be listened to by what is called.
  const std::vector<int> functions = std::exchange(response->callbacks, {});
  for (const int function : functions) {
    call_back(function, [&](lua_State* state) {
      if (response->state == Response::State::Fulfilled) return push_outcome(state, *response);
      lua_pushnil(state);
      push_failure(state, response->failure);
      return 2;
    });
  }
  if (!functions.empty()) release(functions);
}

int Interpreter::push_outcome(lua_State* state, const Response& response) {
  if (response.state == Response::State::Rejected) {
    push_failure(state, response.failure);
    return lua_error(state);
  }
  if (!response.call) return 0;
  push_value(state, value_of(response.answer, *response.call));
  return 1;
}

void Interpreter::review_soon() {
  if (std::exchange(review_due_, true)) return;
  snowfox::sleep(loop_, kReviewAfter).then([this] { review(); }).detach();
}

// What no script holds any more, the collector knows: it then says so to the response.
void Interpreter::review() {
  review_due_ = false;
  lua_.protect([](lua_State* state) { lua_gc(state, LUA_GCCOLLECT, 0); });
  for (const ResponseRef& response : std::exchange(unclaimed_, {})) {
    if (response->taken) continue;
    if (!response->held || response->wanted) {
      show(*response);
    } else if (response->state == Response::State::Rejected) {
      kept_.push_back(response);
    }
  }
  look_if_idle();
}

void Interpreter::report_kept() {
  for (const ResponseRef& response : std::exchange(kept_, {})) {
    if (!response->taken) show(*response);
  }
}

void Interpreter::look_if_idle() {
  if (!when_idle_ || current_ != 0 || pending_ != 0 || !tasks_.empty() || review_due_) return;
  if (to_the_end_ && !watches_.empty()) return;
  report_kept();
  std::exchange(when_idle_, nullptr)();
}

void Interpreter::when_idle(std::function<void()> function, bool to_the_end) {
  when_idle_ = std::move(function);
  to_the_end_ = to_the_end;
  look_if_idle();
}

// --- the connection ---

void Interpreter::lost(const std::string& reason, bool again) {
  ++losses_;
  const std::string text = "the connection to the node is lost: " + reason;
  if (untaken_ != 0) {
    complain(fmt::format("{}; without an answer: {}", text, untaken_), kNoAnswer);
  } else if (again || !watches_.empty()) {
    complain(text, kNoAnswer);
  }
  if (again) return;
  for (auto& [id, response] : std::exchange(watches_, {})) release(response->callbacks);
  look_if_idle();
}

void Interpreter::watch_again() {
  std::set<std::string> ids;
  for (const auto& [id, response] : watches_) ids.insert(id);
  for (const std::string& id : ids) {
    auto response = std::make_shared<Response>();
    response->call = Call{Call::Kind::Watch, false, id};
    response->name = response->call->str();
    response->again = true;
    send(response);
    take(*response);
  }
}

void Interpreter::heard(const std::string& watched, const public_api::Event& event) {
  if (!watches_.contains(watched)) return;
  const std::vector<int> functions = listeners(watched);
  if (functions.empty()) return say(options_.json ? event_json(event) + "\n" : event_text(event, options_.paint));
  for (const int function : functions) {
    call_back(function, [&event](lua_State* state) {
      push_message(state, event.service());
      lua_pushboolean(state, event.removed() ? 1 : 0);
      lua_setfield(state, -2, "removed");
      return 1;
    });
  }
}

// --- what is shown ---

void Interpreter::show(Response& response) {
  if (response.state == Response::State::Rejected) {
    if (!response.told) return complain(response.failure);
    exit_code_ = std::max(exit_code_, kNoAnswer);
  } else if (response.call) {
    const std::string text = options_.json ? answer_json(response.answer, *response.call) + "\n"
                                           : answer_text(response.answer, *response.call, options_.paint);
    if (!text.empty()) say(text);
  }
}

void Interpreter::say(const std::string& text) noexcept {
  try {
    host_.print(text);
  } catch (const std::exception& error) {
    complain(Failure{"OUTPUT", error.what(), {}});
  }
}

void Interpreter::complain(const std::string& text, int exit_code) noexcept {
  exit_code_ = std::max(exit_code_, exit_code);
  host_.complain(text);
}

void Interpreter::complain(const Failure& failure) noexcept {
  // That there is no node many may have to tell, in the same words.
  const bool told = failure.call.empty() && failure.text == last_general_;
  if (failure.call.empty()) last_general_ = failure.text;
  exit_code_ = std::max(exit_code_, kNoAnswer);
  if (!told) host_.complain(failure.str());
}

}  // namespace snowfox::node
