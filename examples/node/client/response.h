#pragma once

#include <lua.hpp>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/call.h"
#include "protocol/public_api.pb.h"

namespace snowfox::node {

/// Why there is no answer. For a script it is a table of the same fields with a tostring().
struct Failure {
  std::string code;  ///< the node's, such as `NO_SUCH_SERVICE`, or TIMED_OUT, NOT_CONNECTED, UNREACHABLE, FAILED
  std::string text;  ///< one line
  std::string call;  ///< what was asked; empty if it is not about that

  /// For the user.
  std::string str() const { return call.empty() ? text : call + ": " + text; }
};
/// A failure that is about no call, such as that there is no node.
class GeneralFailure : public std::exception {
 public:
  explicit GeneralFailure(Failure failure) : failure_(std::move(failure)) {}
  const char* what() const noexcept override { return failure_.text.c_str(); }
  const Failure& failure() const noexcept { return failure_; }

 private:
  Failure failure_;
};

/// Something asked for and not there yet; what `node.status()` gives. The script that holds it and the answer that
/// comes own it together, and either may let go first.
struct Response {
  enum class State : std::uint8_t { Pending, Fulfilled, Rejected };

  std::string name;          ///< `node.status()`
  std::optional<Call> call;  ///< nothing: only time is waited for
  State state = State::Pending;
  public_api::Message answer;  ///< of one that is Fulfilled
  Failure failure;             ///< of one that is Rejected

  bool held = true;          ///< a script can still get at it
  bool taken = false;        ///< a script is given what comes of it
  bool wanted = false;       ///< it is to be shown whoever holds it
  bool told = false;         ///< of its failure the user knows
  bool again = false;        ///< what was watched is watched again
  std::uint32_t losses = 0;  ///< so often the connection was lost before it was asked

  std::vector<int> callbacks;           ///< references to functions
  std::vector<std::uint64_t> awaiting;  ///< the tasks that wait for it
};
using ResponseRef = std::shared_ptr<Response>;

/// Has to be called once, in LuaState::protect: what `methods` names can be called on responses.
void open_responses(lua_State* state, const luaL_Reg* methods, void* interpreter);
/// Pushes what scripts know `response` by.
void push_response(lua_State* state, const ResponseRef& response);
/// The response at `index`; null if there is something else.
ResponseRef* response_at(lua_State* state, int index);

/// Pushes the failure as scripts know it.
void push_failure(lua_State* state, const Failure& failure);
/// The failure at `index`; nothing if there is something else.
std::optional<Failure> failure_at(lua_State* state, int index);

}  // namespace snowfox::node
