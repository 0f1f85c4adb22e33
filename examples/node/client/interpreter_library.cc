// What scripts find: node, service, client, and what else is not Lua's own.
#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include <snowfox/promises/sleep.h>

#include "client/interpreter.h"
#include "client/lua_value.h"
#include "client/message_text.h"
#include "common/build_version.h"

namespace snowfox::node {
namespace {

/// What may also be written without parentheses, by whoever sits at a prompt.
enum Command : int { kHelp, kClear, kExit };

/// The field of a metatable by which a command is known, and which.
constexpr const char* kCommand = "command";

constexpr double kLongestSleepSeconds = 1e9;

struct OwnForm {
  std::string_view written;
  std::string_view help;
};
constexpr std::array kOwnForms{
    OwnForm{"client.version()", "what this client was built from"},
    OwnForm{"client.sleep(seconds)", "a response that comes then"},
    OwnForm{"client.exit([code])", "leave when all answers have come; also exit"},
    OwnForm{"pprint(...)", "print values, tables with all that is in them"},
    OwnForm{"clear", "clear the screen"},
    OwnForm{"help", "this"},
};
constexpr std::string_view kHelpOnResponses =
    "\n"
    "Each call of the node gives a response at once; what comes of it is printed, unless a script keeps the response.\n"
    "r:await()               wait for the answer; an error if there is none\n"
    "r:on(function)          call function(value, error) when there is one; of a watch, at each change\n";

/// How many seconds there are at `index`.
Duration duration_at(lua_State* state, int index) {
  const lua_Number seconds = luaL_checknumber(state, index);
  luaL_argcheck(state, seconds >= 0 && seconds <= kLongestSleepSeconds, index, "expected seconds, from 0 to 1e9");
  return std::chrono::ceil<Duration>(std::chrono::duration<double>(seconds));
}

ResponseRef& response_argument(lua_State* state) {
  ResponseRef* response = response_at(state, 1);
  if (response != nullptr) return *response;
  luaL_typeerror(state, 1, "response, as in node.status():await()");
  std::abort();  // that does not return
}

bool is_name(std::string_view text) {
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) == 0 &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; });
}

/// In place of what is on top, what it has under `name`; nil if nothing, without calling anything.
void replace_by_field(lua_State* state, std::string_view name) {
  for (int depth = 0; depth < 10; ++depth) {
    if (lua_type(state, -1) == LUA_TTABLE) {
      lua_pushlstring(state, name.data(), name.size());
      lua_rawget(state, -2);
      if (lua_isnil(state, -1) == 0) return lua_replace(state, -2);
      lua_pop(state, 1);
    }
    if (luaL_getmetafield(state, -1, "__index") != LUA_TTABLE) break;
    lua_replace(state, -2);
  }
  lua_settop(state, lua_gettop(state) - 1);
  lua_pushnil(state);
}

}  // namespace

template <int (Interpreter::*function)(lua_State*)>
int Interpreter::method(lua_State* state) {
  auto& self = *static_cast<Interpreter*>(lua_touserdata(state, lua_upvalueindex(1)));
  return LuaState::translated(state, [&] { return (self.*function)(state); });
}

void Interpreter::open(lua_State* state) {
  constexpr luaL_Reg of_responses[] = {
      {"await", method<&Interpreter::await>}, {"on", method<&Interpreter::on>}, {nullptr, nullptr}};
  open_responses(state, of_responses, this);

  const auto forms = call_forms();
  for (std::size_t i = 0; i < forms.size(); ++i) {
    luaL_getsubtable(state, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(state, -1, LUA_GNAME);
    luaL_getsubtable(state, -1, std::string(forms[i].table).c_str());
    lua_pushlightuserdata(state, this);
    lua_pushinteger(state, static_cast<lua_Integer>(i));
    lua_pushcclosure(state, method<&Interpreter::ask>, 2);
    lua_setfield(state, -2, std::string(forms[i].function).c_str());
    lua_settop(state, 0);
  }

  const auto add = [&](const char* name, lua_CFunction function) {
    lua_pushlightuserdata(state, this);
    lua_pushcclosure(state, function, 1);
    lua_setfield(state, -2, name);
  };
  lua_newtable(state);
  add("version", method<&Interpreter::version>);
  add("sleep", method<&Interpreter::sleep>);
  add("exit", method<&Interpreter::exit>);
  lua_setglobal(state, "client");
  lua_getglobal(state, LUA_GNAME);
  add("print", method<&Interpreter::print>);
  add("pprint", method<&Interpreter::pprint>);
  open_command(state, "help", kHelp);
  open_command(state, "clear", kClear);
  open_command(state, "exit", kExit);
  lua_getfield(state, -1, LUA_OSLIBNAME);
  add("exit", method<&Interpreter::leave_at_once>);
  lua_settop(state, 0);
}

void Interpreter::open_command(lua_State* state, const char* name, int which) {
  lua_newtable(state);
  lua_createtable(state, 0, 2);
  lua_pushinteger(state, which);
  lua_setfield(state, -2, kCommand);
  lua_pushlightuserdata(state, this);
  lua_pushinteger(state, which);
  lua_pushcclosure(state, method<&Interpreter::command>, 2);
  lua_setfield(state, -2, "__call");
  lua_setmetatable(state, -2);
  lua_setfield(state, -2, name);
}

// --- asking ---

int Interpreter::ask(lua_State* state) {
  const CallForm& form = call_forms()[static_cast<std::size_t>(lua_tointeger(state, lua_upvalueindex(2)))];
  Call call{form.kind};
  switch (form.takes) {
    case CallForm::Takes::Nothing: break;
    case CallForm::Takes::Flag:
      if (lua_isnoneornil(state, 1)) break;
      luaL_checktype(state, 1, LUA_TBOOLEAN);
      call.details = lua_toboolean(state, 1) != 0;
      break;
    case CallForm::Takes::AnyService:
    case CallForm::Takes::AnyRequest:
      if (lua_isnoneornil(state, 1)) break;
      [[fallthrough]];
    case CallForm::Takes::Service: {
      call.id = lua_type(state, 1) == LUA_TSTRING ? lua_tostring(state, 1) : "";
      const std::string fault = fault_of_id(form, call.id);
      if (!fault.empty()) return luaL_error(state, "%s", fault.c_str());
    }
  }
  if (pending_ >= options_.most_pending) {
    return luaL_error(state, "%d answers are still to come: await some of them first", static_cast<int>(pending_));
  }
  auto response = std::make_shared<Response>();
  response->name = call.str();
  response->call = std::move(call);
  push_response(state, response);
  send(response);
  return 1;
}

int Interpreter::sleep(lua_State* state) {
  const Duration duration = duration_at(state, 1);
  auto response = std::make_shared<Response>();
  response->name = "client.sleep()";
  push_response(state, response);
  wait_for(response, snowfox::sleep(loop_, duration));
  return 1;
}

int Interpreter::await(lua_State* state) {
  lua_.check(state);
  ResponseRef& response = response_argument(state);
  take(*response);
  if (response->state != Response::State::Pending) return push_outcome(state, *response);
  if (lua_isyieldable(state) == 0) {
    return luaL_error(state, "await() cannot wait inside of what C has called, such as a sort() or gsub()");
  }
  response->awaiting.push_back(current_);
  lua_settop(state, 1);
  LuaState::push_wait(state);
  return lua_yieldk(state, 1, 0, await_again);
}

int Interpreter::await_again(lua_State* state, int, lua_KContext) {
  auto& self = *static_cast<Interpreter*>(lua_touserdata(state, lua_upvalueindex(1)));
  return LuaState::translated(state, [&] { return self.await(state); });
}

int Interpreter::on(lua_State* state) {
  const ResponseRef response = response_argument(state);
  luaL_checktype(state, 2, LUA_TFUNCTION);
  lua_settop(state, 2);
  const bool watches = response->call && response->call->kind == Call::Kind::Watch;
  const bool settled = response->state != Response::State::Pending;
  response->callbacks.reserve(response->callbacks.size() + 1);
  const int function = luaL_ref(state, LUA_REGISTRYINDEX);
  if (settled || (!response->call && response->callbacks.empty())) ++pending_;
  response->callbacks.push_back(function);
  take(*response);
  if (settled) {
    // Never inside this call, and what was there before is not called again.
    snowfox::sleep(loop_, Duration::zero())
        .then([this, response, watches, function] {
          const auto& functions = response->callbacks;
          if (!watches || response->state != Response::State::Fulfilled) {
            call_back(response);
          } else if (std::find(functions.begin(), functions.end(), function) != functions.end()) {
            tell_services({function}, response->answer.service_list_response());
          }
        })
        .finally([this] {
          --pending_;
          look_if_idle();
        })
        .detach();
  }
  lua_settop(state, 1);
  return 1;
}

// --- the client itself ---

int Interpreter::version(lua_State* state) {
  push_message(state, build_version());
  return 1;
}

int Interpreter::print(lua_State* state) {
  std::string line;
  const int count = lua_gettop(state);
  for (int i = 1; i <= count; ++i) {
    std::size_t size = 0;
    const char* text = luaL_tolstring(state, i, &size);
    line.append(i == 1 ? "" : "\t").append(text, size);
    lua_pop(state, 1);
  }
  write(state, line + "\n");
  return 0;
}

int Interpreter::pprint(lua_State* state) {
  const int count = lua_gettop(state);
  for (int i = 1; i <= count; ++i) {
    write(state, (options_.json ? to_json(state, i) : pretty(state, i, options_.paint)) + "\n");
  }
  return 0;
}

/// Who cannot print has a failure that is no mistake of the script.
void Interpreter::write(lua_State* state, const std::string& text) {
  try {
    return host_.print(text);
  } catch (const std::exception& error) {
    push_failure(state, {"OUTPUT", error.what(), {}});
  }
  lua_error(state);
}

int Interpreter::exit(lua_State* state) {
  if (!lua_isnoneornil(state, 1)) left_with_ = static_cast<int>(luaL_checkinteger(state, 1) & 0xff);
  leave(state, true);
}

int Interpreter::leave_at_once(lua_State* state) {
  if (lua_isboolean(state, 1)) {
    left_with_ = lua_toboolean(state, 1) != 0 ? 0 : 1;
  } else {
    left_with_ = static_cast<int>(luaL_optinteger(state, 1, 0) & 0xff);
  }
  leave(state, false);
}

void Interpreter::leave(lua_State* state, bool wait) {
  left_ = true;
  leave_waits_ = wait;
  lua_.stop(LuaState::Stop::Left);
  lua_.check(state);
  std::abort();  // check() does not return to us
}

int Interpreter::command(lua_State* state) {
  const auto which = static_cast<int>(lua_tointeger(state, lua_upvalueindex(2)));
  lua_remove(state, 1);  // the command itself
  if (which == kExit) return exit(state);
  do_command(which);
  return 0;
}

void Interpreter::do_command(int which) {
  if (which == kClear) return host_.clear();
  say(help());
}

std::string Interpreter::help() const {
  std::string text;
  std::string json;
  const auto add = [&](std::string_view written, std::string_view does) {
    text += fmt::format("{:<24}{}\n", written, does);
    json +=
        fmt::format(R"({}{{"call":{},"does":{}}})", json.empty() ? "" : ",", json_string(written), json_string(does));
  };
  for (const CallForm& form : call_forms()) add(form.written(), form.help);
  for (const OwnForm& form : kOwnForms) add(form.written, form.help);
  return options_.json ? "{\"help\":[" + json + "]}\n" : text.append(kHelpOnResponses);
}

// --- the values of an expression ---

void Interpreter::show_values(lua_State* state) {
  std::string line;  // with what separates values before each
  const auto end_line = [&] {
    if (!line.empty()) say(std::exchange(line, {}).substr(1) + "\n");
  };
  const int count = lua_gettop(state);
  for (int i = 1; i <= count; ++i) {
    const bool has_text = luaL_getmetafield(state, i, "__tostring") != LUA_TNIL;
    const bool as_table = lua_type(state, i) == LUA_TTABLE && !has_text;
    lua_settop(state, count);
    if (options_.json || as_table) end_line();
    if (show_special(state, i)) continue;
    if (options_.json) {
      say(to_json(state, i) + "\n");
    } else if (as_table) {
      say(pretty(state, i, options_.paint) + "\n");
    } else {
      std::size_t size = 0;
      const char* text = luaL_tolstring(state, i, &size);
      line.append("\t").append(text, size);
      lua_pop(state, 1);
    }
  }
  end_line();
}

/// What is not shown as other values are.
bool Interpreter::show_special(lua_State* state, int index) {
  if (const ResponseRef* response = response_at(state, index)) {
    Response& shown = **response;
    if (!shown.callbacks.empty() || (shown.taken && shown.state == Response::State::Pending)) return true;
    if (shown.state == Response::State::Pending) {
      shown.wanted = true;
    } else {
      take(shown);
      shown.told = false;
      show(shown);
    }
    return true;
  }
  if (lua_tocfunction(state, index) == method<&Interpreter::ask> && lua_getupvalue(state, index, 2) != nullptr) {
    const CallForm& form = call_forms()[static_cast<std::size_t>(lua_tointeger(state, -1))];
    lua_pop(state, 1);
    say(fmt::format("{}: {}\n", form.written(), form.help));
    return true;
  }
  if (luaL_getmetafield(state, index, kCommand) != LUA_TNUMBER) return false;
  const auto which = static_cast<int>(lua_tointeger(state, -1));
  lua_pop(state, 1);
  if (which != kExit) {
    do_command(which);
    return true;
  }
  left_ = true;
  leave_waits_ = true;
  lua_.stop(LuaState::Stop::Left);
  return true;
}

// --- completion ---

std::vector<std::string> Interpreter::names_like(const std::string& path) {
  std::vector<std::string> names;
  const auto look = [&](lua_State* state) {
    lua_pushglobaltable(state);
    std::string_view rest = path;
    std::size_t begin = 0;
    bool method_wanted = false;
    for (std::size_t at = rest.find_first_of(".:"); at != std::string_view::npos;
         at = rest.find_first_of(".:", begin)) {
      const std::string_view name = rest.substr(begin, at - begin);
      if (!is_name(name)) return;
      replace_by_field(state, name);
      method_wanted = rest[at] == ':';
      begin = at + 1;
    }
    const std::string_view word = rest.substr(begin);
    // What it has itself, and what it is given by its metatable.
    for (int depth = 0; depth < 3; ++depth) {
      if (lua_type(state, -1) == LUA_TTABLE) {
        lua_pushnil(state);
        while (lua_next(state, -2) != 0) {
          const bool is_function = lua_isfunction(state, -1) != 0;
          const std::string_view name = lua_type(state, -2) == LUA_TSTRING ? lua_tostring(state, -2) : "";
          if (is_name(name) && name.starts_with(word) && (is_function || !method_wanted)) {
            std::string whole = std::string(rest.substr(0, begin)).append(name);
            if (is_function) whole += '(';
            names.push_back(std::move(whole));
          }
          lua_pop(state, 1);
        }
      }
      if (luaL_getmetafield(state, -1, "__index") != LUA_TTABLE) return;
      lua_replace(state, -2);
    }
  };
  lua_.protect(look);
  return names;
}

}  // namespace snowfox::node
