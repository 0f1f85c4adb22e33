#pragma once

#include <google/protobuf/message.h>
#include <lua.hpp>

#include <string>

#include "client/call_meaning.h"
#include "client/paint.h"

// Lua's values, made of messages and made text of. Errors, also std::bad_alloc, are to be expected: to be called inside
// functions that Lua calls, or LuaState::protect.

namespace snowfox::node {

/// Pushes a table with all fields by their names: enumerators and texts as strings, what is repeated as an array. Of
/// messages only those that are there.
void push_message(lua_State* state, const google::protobuf::Message& message);
/// Pushes what an answer is worth: a table, an array of such, or true.
void push_value(lua_State* state, const AnswerValue& value);

/// A table as one would write it in Lua, over several lines if it is long, its keys sorted; other values as tostring()
/// has them, strings inside of tables in quotes.
std::string pretty(lua_State* state, int index, const Paint& paint);

/// A value as JSON in one line: a table whose keys are 1 to n is an array, another one an object with its keys sorted;
/// what JSON does not have is its tostring(). Throws std::runtime_error if a table contains itself.
std::string to_json(lua_State* state, int index);

}  // namespace snowfox::node
