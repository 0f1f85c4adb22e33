#include "client/response.h"

#include <new>
#include <utility>

#include <fmt/format.h>

namespace snowfox::node {
namespace {

constexpr const char* kResponse = "response";
constexpr const char* kFailure = "failure";

int collect(lua_State* state) {
  auto& response = *static_cast<ResponseRef*>(lua_touserdata(state, 1));
  response->held = false;
  response.~ResponseRef();
  return 0;
}

int response_text(lua_State* state) {
  const Response& response = **response_at(state, 1);
  switch (response.state) {
    case Response::State::Pending: lua_pushfstring(state, "%s: pending", response.name.c_str()); break;
    case Response::State::Fulfilled: lua_pushfstring(state, "%s: answered", response.name.c_str()); break;
    case Response::State::Rejected: lua_pushstring(state, response.failure.str().c_str()); break;
  }
  return 1;
}

std::string field(lua_State* state, int table, const char* name) {
  lua_pushstring(state, name);
  lua_rawget(state, table);
  const char* text = lua_type(state, -1) == LUA_TSTRING ? lua_tostring(state, -1) : "";
  std::string copy = text;
  lua_pop(state, 1);
  return copy;
}

int failure_text(lua_State* state) {
  luaL_checktype(state, 1, LUA_TTABLE);
  const Failure failure{{}, field(state, 1, "message"), field(state, 1, "call")};
  lua_pushstring(state, failure.str().c_str());
  return 1;
}

/// So that `"it failed: " .. error` is possible.
int failure_concatenation(lua_State* state) {
  luaL_tolstring(state, 1, nullptr);
  luaL_tolstring(state, 2, nullptr);
  lua_concat(state, 2);
  return 1;
}

}  // namespace

void open_responses(lua_State* state, const luaL_Reg* methods, void* interpreter) {
  luaL_newmetatable(state, kResponse);
  lua_newtable(state);
  lua_pushlightuserdata(state, interpreter);
  luaL_setfuncs(state, methods, 1);
  lua_setfield(state, -2, "__index");
  const luaL_Reg own[] = {{"__gc", collect}, {"__tostring", response_text}, {nullptr, nullptr}};
  luaL_setfuncs(state, own, 0);
  lua_pushboolean(state, 0);  // who could change it could have it collected twice
  lua_setfield(state, -2, "__metatable");
  luaL_newmetatable(state, kFailure);
  const luaL_Reg of_failures[] = {
      {"__tostring", failure_text}, {"__concat", failure_concatenation}, {nullptr, nullptr}};
  luaL_setfuncs(state, of_failures, 0);
  lua_settop(state, 0);
}

void push_response(lua_State* state, const ResponseRef& response) {
  void* const place = lua_newuserdatauv(state, sizeof(ResponseRef), 0);
  new (place) ResponseRef(response);
  luaL_setmetatable(state, kResponse);
}

ResponseRef* response_at(lua_State* state, int index) {
  return static_cast<ResponseRef*>(luaL_testudata(state, index, kResponse));
}

void push_failure(lua_State* state, const Failure& failure) {
  lua_createtable(state, 0, 3);
  lua_pushstring(state, failure.code.c_str());
  lua_setfield(state, -2, "code");
  lua_pushstring(state, failure.text.c_str());
  lua_setfield(state, -2, "message");
  if (!failure.call.empty()) {
    lua_pushstring(state, failure.call.c_str());
    lua_setfield(state, -2, "call");
  }
  luaL_setmetatable(state, kFailure);
}

std::optional<Failure> failure_at(lua_State* state, int index) {
  index = lua_absindex(state, index);
  if (lua_type(state, index) != LUA_TTABLE || lua_getmetatable(state, index) == 0) return std::nullopt;
  luaL_getmetatable(state, kFailure);
  const bool is_failure = lua_rawequal(state, -1, -2) != 0;
  lua_pop(state, 2);
  if (!is_failure) return std::nullopt;
  return Failure{field(state, index, "code"), field(state, index, "message"), field(state, index, "call")};
}

}  // namespace snowfox::node
