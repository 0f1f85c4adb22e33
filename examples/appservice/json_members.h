#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace snowfox::appservice {

// Values where they are in a text, as they are spelled.

struct JsonMember {
  std::string_view key;   ///< as it is spelled, in quotes
  std::string_view name;  ///< what that means
  std::string_view value;
  bool spaced = false;                             ///< there is white space between the value's parts
  std::unique_ptr<const std::string> unescaped{};  ///< what `name` is of, if it is spelled with escapes
};

inline bool is_json_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// The bytes of the value at the front of `text`, if that is JSON; otherwise of something that is none either. 0 if it
/// does not end.
std::size_t json_length(std::string_view text) noexcept;

/// The members of the object at the front of `text`, as they came; of those of the same name only the last one. Sets
/// `length` to the object's. Looks at what it needs alone: if `text` begins with no JSON, neither these nor `length`
/// mean anything, but no more than `text` is looked at.
std::vector<JsonMember> json_members(std::string_view text, std::size_t& length);
/// Of `object`, which is JSON.
std::vector<JsonMember> json_members(std::string_view object);

/// The member's value without white space between its parts. It must be JSON.
void append_compact(std::string& out, const JsonMember& member);

}  // namespace snowfox::appservice
