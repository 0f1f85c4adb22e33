#include "client/lua_value.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "client/message_text.h"

namespace snowfox::node {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

/// An empty table is an array if it has the metatable of this name.
constexpr const char* kArray = "snow-fox array";
constexpr std::size_t kLineCharacters = 72;
constexpr int kDeepest = 60;

void push_text(lua_State* state, std::string_view text) { lua_pushlstring(state, text.data(), text.size()); }

/// A field; the element `index` of one that is repeated.
void push_field(lua_State* state, const Message& message, const FieldDescriptor& field, int index) {
  const auto& in = *message.GetReflection();
  const bool repeated = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return push_message(state,
                          repeated ? in.GetRepeatedMessage(message, &field, index) : in.GetMessage(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return lua_pushboolean(state,
                             repeated ? in.GetRepeatedBool(message, &field, index) : in.GetBool(message, &field));
    case FieldDescriptor::CPPTYPE_INT32:
      return lua_pushinteger(state,
                             repeated ? in.GetRepeatedInt32(message, &field, index) : in.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return lua_pushinteger(state,
                             repeated ? in.GetRepeatedUInt32(message, &field, index) : in.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return lua_pushinteger(state, static_cast<lua_Integer>(repeated ? in.GetRepeatedUInt64(message, &field, index)
                                                                      : in.GetUInt64(message, &field)));
    case FieldDescriptor::CPPTYPE_ENUM:
      return push_text(state,
                       (repeated ? in.GetRepeatedEnum(message, &field, index) : in.GetEnum(message, &field))->name());
    case FieldDescriptor::CPPTYPE_STRING:
      return push_text(state, repeated ? in.GetRepeatedString(message, &field, index) : in.GetString(message, &field));
    // The protocols have no other types; one that comes to have them shows it here.
    default: return push_text(state, std::string("a ") + field.cpp_type_name());
  }
}

void push_array(lua_State* state, int size) {
  lua_createtable(state, size, 0);
  luaL_newmetatable(state, kArray);
  lua_setmetatable(state, -2);
}

/// What tostring() makes of it.
std::string text_of(lua_State* state, int index) {
  std::size_t size = 0;
  const char* text = luaL_tolstring(state, index, &size);
  std::string copy(text, size);
  lua_pop(state, 1);
  return copy;
}

std::string_view string_at(lua_State* state, int index) {
  std::size_t size = 0;
  const char* text = lua_tolstring(state, index, &size);
  return {text, size};
}

std::string quoted(std::string_view text) {
  std::string shown = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': shown += "\\\""; break;
      case '\\': shown += "\\\\"; break;
      case '\n': shown += "\\n"; break;
      case '\t': shown += "\\t"; break;
      default: shown += c;
    }
  }
  return printable(shown += '"');
}

/// Of a number and of what else has but one form.
std::string scalar(lua_State* state, int index) {
  return lua_type(state, index) == LUA_TNUMBER ? text_of(state, index) : printable(text_of(state, index));
}

bool has_text(lua_State* state, int index) {
  if (luaL_getmetafield(state, index, "__tostring") == LUA_TNIL) return false;
  lua_pop(state, 1);
  return true;
}

/// Numbers by size, then the rest by their text.
struct Key {
  bool is_number = false;
  lua_Number number = 0;
  std::string text;
  int slot = 0;  // where it is kept

  bool operator<(const Key& other) const {
    if (is_number != other.is_number) return is_number;
    return is_number ? number < other.number : text < other.text;
  }
};

/// Walks a table in order. On the stack are the table and an array of its keys.
class SortedTable {
 public:
  SortedTable(lua_State* state, int table) : state_(state), table_(table) {
    luaL_checkstack(state, 8, "a table too deep to be shown");
    lua_createtable(state, 0, 0);
    kept_ = lua_gettop(state);
    lua_pushnil(state);
    while (lua_next(state, table) != 0) {
      lua_pop(state, 1);
      Key key;
      key.is_number = lua_type(state, -1) == LUA_TNUMBER;
      if (key.is_number) key.number = lua_tonumber(state, -1);
      // A copy, for lua_tolstring() would change the key itself.
      lua_pushvalue(state, -1);
      key.text = text_of(state, -1);
      key.slot = static_cast<int>(keys_.size()) + 1;
      lua_rawseti(state, kept_, key.slot);
      keys_.push_back(std::move(key));
    }
    std::sort(keys_.begin(), keys_.end());
    is_array_ = !keys_.empty() && keys_.back().is_number;
    for (std::size_t i = 0; is_array_ && i < keys_.size(); ++i) {
      is_array_ = keys_[i].number == static_cast<lua_Number>(i + 1);
    }
  }

  const std::vector<Key>& keys() const noexcept { return keys_; }
  /// Its keys are 1 to n, and there is one.
  bool is_array() const noexcept { return is_array_; }
  /// Pushes the key, and the value.
  void push(const Key& key) {
    lua_rawgeti(state_, kept_, key.slot);
    lua_pushvalue(state_, -1);
    lua_rawget(state_, table_);
  }
  void done() { lua_settop(state_, kept_ - 1); }

 private:
  lua_State* state_;
  int table_;
  int kept_ = 0;
  std::vector<Key> keys_;
  bool is_array_ = false;
};

bool is_name(std::string_view text) {
  static constexpr std::string_view kReserved =
      " and break do else elseif end false for function goto if in local nil not or repeat return then true until "
      "while ";
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (text.empty() || !is_letter(text.front())) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); }) &&
         kReserved.find(" " + std::string(text) + " ") == std::string_view::npos;
}

/// Writes tables as Lua.
class Pretty {
 public:
  Pretty(lua_State* state, const Paint& paint) : state_(state), paint_(paint) {}

  std::string value(int index, std::size_t indent) {
    switch (lua_type(state_, index)) {
      case LUA_TTABLE: return has_text(state_, index) ? scalar(state_, index) : table(index, indent);
      case LUA_TSTRING: return paint_.text(quoted(string_at(state_, index)));
      case LUA_TNUMBER: return paint_.number(scalar(state_, index));
      case LUA_TBOOLEAN: return paint_.number(lua_toboolean(state_, index) != 0 ? "true" : "false");
      default: return paint_.faint(scalar(state_, index));
    }
  }

 private:
  std::string table(int index, std::size_t indent) {
    const void* const address = lua_topointer(state_, index);
    if (std::find(above_.begin(), above_.end(), address) != above_.end()) return paint_.faint("<this again>");
    if (above_.size() == kDeepest) return paint_.faint("<too deep>");
    above_.push_back(address);
    SortedTable sorted(state_, index);
    std::vector<std::string> entries;
    std::size_t characters = 0;
    bool flat = sorted.is_array();
    for (const Key& key : sorted.keys()) {
      sorted.push(key);
      const int top = lua_gettop(state_);
      flat = flat && lua_type(state_, top) != LUA_TTABLE;
      std::string entry = sorted.is_array() ? std::string() : key_text(top - 1, key) + " = ";
      entry += value(top, indent + 2);
      characters += entry.size() + 2;
      entries.push_back(std::move(entry));
      lua_settop(state_, top - 2);
    }
    sorted.done();
    above_.pop_back();
    if (entries.empty()) return "{}";
    if (flat && indent + characters < kLineCharacters) return fmt::format("{{{}}}", fmt::join(entries, ", "));
    std::string text = "{\n";
    for (const std::string& entry : entries) text += std::string(indent + 2, ' ') + entry + ",\n";
    return text + std::string(indent, ' ') + "}";
  }

  std::string key_text(int index, const Key& key) {
    if (lua_type(state_, index) != LUA_TSTRING) return "[" + scalar(state_, index) + "]";
    if (is_name(key.text)) return paint_.key(key.text);
    return "[" + paint_.text(quoted(key.text)) + "]";
  }

  lua_State* state_;
  const Paint& paint_;
  std::vector<const void*> above_;
};

class Json {
 public:
  explicit Json(lua_State* state) : state_(state) {}

  void append(std::string& json, int index) {
    switch (lua_type(state_, index)) {
      case LUA_TNIL:
      case LUA_TNONE: json += "null"; return;
      case LUA_TBOOLEAN: json += lua_toboolean(state_, index) != 0 ? "true" : "false"; return;
      case LUA_TNUMBER:
        if (lua_isinteger(state_, index) != 0) {
          json += fmt::to_string(lua_tointeger(state_, index));
        } else {
          const lua_Number number = lua_tonumber(state_, index);
          json += std::isfinite(number) ? fmt::to_string(number) : "null";
        }
        return;
      case LUA_TTABLE:
        if (has_text(state_, index)) break;
        return append_table(json, index);
      default: break;
    }
    json += json_string(lua_type(state_, index) == LUA_TSTRING ? std::string(string_at(state_, index))
                                                               : text_of(state_, index));
  }

 private:
  void append_table(std::string& json, int index) {
    if (++depth_ > kDeepest) throw std::runtime_error("a table that contains itself, or is too deep, is no JSON");
    SortedTable sorted(state_, index);
    const bool array = sorted.is_array() || (sorted.keys().empty() && is_empty_array(index));
    json += array ? '[' : '{';
    for (const Key& key : sorted.keys()) {
      if (json.back() != '[' && json.back() != '{') json += ',';
      sorted.push(key);
      const int top = lua_gettop(state_);
      if (!array) json += json_string(key.text) + ":";
      append(json, top);
      lua_settop(state_, top - 2);
    }
    sorted.done();
    json += array ? ']' : '}';
    --depth_;
  }
  bool is_empty_array(int index) {
    if (lua_getmetatable(state_, index) == 0) return false;
    luaL_getmetatable(state_, kArray);
    const bool same = lua_rawequal(state_, -1, -2) != 0;
    lua_pop(state_, 2);
    return same;
  }

  lua_State* state_;
  int depth_ = 0;
};

}  // namespace

void push_message(lua_State* state, const Message& message) {
  luaL_checkstack(state, 4, "a message too deep");
  const auto& descriptor = *message.GetDescriptor();
  const auto& in = *message.GetReflection();
  lua_createtable(state, 0, descriptor.field_count());
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    if (field.has_presence() && !in.HasField(message, &field)) continue;
    if (field.is_repeated()) {
      const int size = in.FieldSize(message, &field);
      push_array(state, size);
      for (int element = 0; element < size; ++element) {
        push_field(state, message, field, element);
        lua_rawseti(state, -2, element + 1);
      }
    } else {
      push_field(state, message, field, 0);
    }
    lua_setfield(state, -2, field.name().c_str());
  }
}

void push_value(lua_State* state, const AnswerValue& value) {
  if (!value.list) {
    if (value.parts.empty()) return lua_pushboolean(state, 1);
    return push_message(state, *value.parts.front());
  }
  push_array(state, static_cast<int>(value.parts.size()));
  lua_Integer number = 0;
  for (const Message* part : value.parts) {
    push_message(state, *part);
    lua_rawseti(state, -2, ++number);
  }
}

std::string pretty(lua_State* state, int index, const Paint& paint) {
  return Pretty(state, paint).value(lua_absindex(state, index), 0);
}

std::string to_json(lua_State* state, int index) {
  std::string json;
  Json(state).append(json, lua_absindex(state, index));
  return json;
}

}  // namespace snowfox::node
