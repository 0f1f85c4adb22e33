#include "client/lua_state.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <utility>

namespace snowfox::node {
namespace {

/// Between two looks whether somebody wants a script to stop: some microseconds.
constexpr int kInstructions = 1000;

/// Scripts that have used up their memory leave so much for those after them, a few times.
constexpr std::size_t kRoomBytes = 256U << 10;
constexpr std::size_t kMostRoomBytes = 4U << 20;

/// What it is called has this address.
char wait_token;

// A script that is to stop must not catch that; a coroutine that waits for the loop makes those around it wait, too.
constexpr const char* kPrelude = R"lua(
local check, stopping, wait = ...
local pcall, xpcall, setmetatable, type, rawget, rawequal = pcall, xpcall, setmetatable, type, rawget, rawequal
local error, rep, traceback = error, string.rep, debug.traceback
local create, resume, yield, status, close =
  coroutine.create, coroutine.resume, coroutine.yield, coroutine.status, coroutine.close

function _G.pcall(...) return check(pcall(...)) end
-- A handler of the error that a hook has thrown runs inside of the hook, and so without any.
function _G.xpcall(f, handler, ...)
  if handler == traceback then return check(xpcall(f, handler, ...)) end
  return check(xpcall(f, function(e) if stopping() then return e end return handler(e) end, ...))
end

local function pass(co, ...)
  local ok, first = ...
  if ok and rawequal(first, wait) then return pass(co, resume(co, yield(wait))) end
  return check(...)
end
function coroutine.resume(co, ...) return pass(co, resume(co, ...)) end
local function unwrap(co, ok, ...)
  if ok then return ... end
  -- What a hook has ended has no hooks any more, which could end what is called now.
  if status(co) == "dead" and not stopping() then close(co) end
  error((...), 0)
end
function coroutine.wrap(f)
  local co = create(f)
  return function(...) return unwrap(co, pass(co, resume(co, ...))) end
end

function _G.setmetatable(t, metatable)
  if type(metatable) == "table" and rawget(metatable, "__gc") ~= nil then
    error("a __gc is not possible here: nothing could interrupt it", 2)
  end
  return setmetatable(t, metatable)
end

-- Lua's own counts to n, for nothing.
function string.rep(s, n, separator)
  if s == "" and (separator == nil or separator == "") then return "" end
  return rep(s, n, separator)
end

os.setlocale = nil
package.cpath = ""
package.loadlib = nil
package.searchers[4], package.searchers[3] = nil, nil
debug = {traceback = traceback}
package.loaded.debug = debug
)lua";

LuaState& self(lua_State* state) noexcept { return **static_cast<LuaState**>(lua_getextraspace(state)); }

}  // namespace

LuaState::LuaState(std::size_t memory_bytes, std::function<bool()> interrupted)
    : memory_{0, memory_bytes, memory_bytes}, interrupted_(std::move(interrupted)) {
  state_.reset(lua_newstate(allocate, &memory_));
  if (!state_) throw std::bad_alloc();
  *static_cast<LuaState**>(lua_getextraspace(get())) = this;
  std::string error;
  if (!protect([](lua_State* state) { open_libraries(state); }, &error))
    throw std::runtime_error("cannot start Lua: " + error);
  // Coroutines have the hook of what makes them.
  lua_sethook(get(), on_count, LUA_MASKCOUNT, kInstructions);
}

void LuaState::open_libraries(lua_State* state) {
  luaL_openlibs(state);
  // Who could change how a file is closed would have a finalizer.
  luaL_getmetatable(state, LUA_FILEHANDLE);
  lua_pushboolean(state, 0);
  lua_setfield(state, -2, "__metatable");
  const std::string prelude = kPrelude;
  if (luaL_loadbufferx(state, prelude.data(), prelude.size(), kOwnChunk, "t") != LUA_OK) lua_error(state);
  lua_pushcfunction(state, checked);
  lua_pushcfunction(state, is_stopping);
  push_wait(state);
  lua_call(state, 3, 0);
}

void* LuaState::allocate(void* memory, void* block, std::size_t old_bytes, std::size_t bytes) noexcept {
  auto& count = *static_cast<Memory*>(memory);
  // Of a new block Lua says what is to become of it, where it otherwise says the size.
  const std::size_t had = block == nullptr ? 0 : old_bytes;
  if (bytes == 0) {
    std::free(block);
    count.used -= had;
    return nullptr;
  }
  if (bytes > had && count.used - had + bytes > count.allowed) return nullptr;
  void* const given = std::realloc(block, bytes);
  if (given != nullptr) count.used += bytes - had;
  return given;
}

void LuaState::make_room() noexcept {
  memory_.allowed = std::clamp(memory_.used + kRoomBytes, memory_.limit, memory_.limit + kMostRoomBytes);
}

void LuaState::on_count(lua_State* state, lua_Debug*) {
  self(state).check(state);
  // A coroutine that is still there after those around it were stopped.
  if (lua_gethookcount(state) == 1) lua_sethook(state, on_count, LUA_MASKCOUNT, kInstructions);
}

void LuaState::check(lua_State* state) {
  if (stop_ == Stop::No && interrupted_()) stop_ = Stop::Interrupted;
  if (stop_ == Stop::No) return;
  // Also if it is caught where nothing of ours is between, it is thrown again at once.
  lua_sethook(state, on_count, LUA_MASKCOUNT, 1);
  lua_pushstring(state, stop_ == Stop::Interrupted ? "interrupted" : "left");
  lua_error(state);
}

int LuaState::checked(lua_State* state) {
  self(state).check(state);
  return lua_gettop(state);
}

int LuaState::is_stopping(lua_State* state) {
  lua_pushboolean(state, self(state).stop_ == Stop::No ? 0 : 1);
  return 1;
}

bool LuaState::finish(int status, std::string* error) {
  if (status == LUA_OK) return true;
  const char* text = lua_tostring(get(), -1);
  // Lua knows no text of what it did not throw itself.
  if (error != nullptr) *error = status < 0 || text == nullptr ? "an unknown error" : text;
  lua_settop(get(), 0);
  return false;
}

void LuaState::push_wait(lua_State* state) noexcept { lua_pushlightuserdata(state, &wait_token); }
bool LuaState::is_wait(lua_State* state, int index) noexcept { return lua_touserdata(state, index) == &wait_token; }

}  // namespace snowfox::node
