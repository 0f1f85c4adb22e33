#include "appservice/json_check.h"

#include <simdjson.h>

namespace snowfox::appservice {

struct JsonCheck::Parser {
  simdjson::dom::parser parser;
  std::string padded;  // it looks some bytes beyond the end
  std::size_t most_depth;
};

JsonCheck::JsonCheck(std::size_t most_depth) : parser_(std::make_unique<Parser>()) { parser_->most_depth = most_depth; }
JsonCheck::JsonCheck(JsonCheck&&) noexcept = default;
JsonCheck& JsonCheck::operator=(JsonCheck&&) noexcept = default;
JsonCheck::~JsonCheck() = default;

bool JsonCheck::passes(std::string_view text) {
  std::string& padded = parser_->padded;
  padded.assign(text);
  padded.append(simdjson::SIMDJSON_PADDING, '\0');
  if (parser_->parser.capacity() < text.size() || parser_->parser.max_depth() != parser_->most_depth) {
    if (parser_->parser.allocate(text.size(), parser_->most_depth) != simdjson::SUCCESS) return false;
  }
  return parser_->parser.parse(padded.data(), text.size(), false).error() == simdjson::SUCCESS;
}

}  // namespace snowfox::appservice
