#pragma once

#include <lua.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>

namespace snowfox::node {

/// Lua 5.4, with what scripts may use of its libraries, that takes no more memory than it is given and can always be
/// stopped: by a hook that is called every some thousand instructions, in every coroutine.
///
/// Lua is the one that was built as C++: its errors are exceptions, so that what is on the stack of a C++ function that
/// Lua has called is destroyed. They are no std::exception, and nothing between such a function and Lua may catch
/// `...`.
///
/// There are io and os, for scripts are their user's own, but no modules in C, no binary chunks' loader besides Lua's,
/// of debug only traceback(), and no finalizers: nothing could stop one.
class LuaState {
 public:
  /// Why scripts are to stop.
  enum class Stop : std::uint8_t { No, Interrupted, Left };

  /// `interrupted` is asked while a script computes; it must not throw.
  LuaState(std::size_t memory_bytes, std::function<bool()> interrupted);
  LuaState(const LuaState&) = delete;
  LuaState& operator=(const LuaState&) = delete;

  lua_State* get() const noexcept { return state_.get(); }
  std::size_t used_bytes() const noexcept { return memory_.used; }

  /// From now on everything that runs is unwound, whatever it catches, until go_on().
  void stop(Stop why) noexcept { stop_ = why; }
  Stop stopping() const noexcept { return stop_; }
  void go_on() noexcept { stop_ = Stop::No; }
  /// Throws the Lua error by which a script stops, if it is to. For functions that Lua calls.
  void check(lua_State* state);
  /// A new script begins: it is given some memory even if those before have left none.
  void make_room() noexcept;

  /// Calls `function(state)`, which may use Lua as it likes and finds an empty stack. False if that has failed, and
  /// then `error`, if not null, is why. Nothing that may allocate in Lua is to be done otherwise, but inside a Lua
  /// function.
  template <typename F>
  bool protect(F&& function, std::string* error = nullptr) {
    const auto call = [](lua_State* state) {
      auto& given = *static_cast<std::remove_cvref_t<F>*>(lua_touserdata(state, 1));
      lua_settop(state, 0);
      return translated(state, [&] {
        given(state);
        return 0;
      });
    };
    lua_pushcfunction(get(), call);
    lua_pushlightuserdata(get(), const_cast<std::remove_cvref_t<F>*>(&function));
    return finish(lua_pcall(get(), 1, 0, 0), error);
  }

  /// Calls `function`, making a std::exception that it throws a Lua error: Lua would lose its text.
  template <typename F>
  static int translated(lua_State* state, F&& function) {
    try {
      return function();
    } catch (const std::exception& error) {
      lua_pushstring(state, error.what());
    }
    return lua_error(state);
  }

  /// What coroutine.yield() is given by what waits for the loop: then the coroutines around it wait, too.
  static void push_wait(lua_State* state) noexcept;
  static bool is_wait(lua_State* state, int index) noexcept;

  /// The source of those functions that are written in Lua here: no line of theirs means anything to users.
  static constexpr const char* kOwnChunk = "=[snow-fox]";

 private:
  struct Memory {
    std::size_t used = 0;
    std::size_t limit = 0;    // what scripts may take
    std::size_t allowed = 0;  // at the moment
  };
  struct Close {
    void operator()(lua_State* state) const noexcept { lua_close(state); }
  };

  static void* allocate(void* memory, void* block, std::size_t old_bytes, std::size_t bytes) noexcept;
  static void on_count(lua_State* state, lua_Debug* what);
  static int checked(lua_State* state);
  static int is_stopping(lua_State* state);
  static void open_libraries(lua_State* state);
  bool finish(int status, std::string* error);

  Memory memory_;
  std::function<bool()> interrupted_;
  Stop stop_ = Stop::No;
  std::unique_ptr<lua_State, Close> state_;
};

}  // namespace snowfox::node
