#include "appservice/json_check.h"

#include <simdjson.h>

namespace snowfox::appservice {

struct JsonCheck::Parser {
  simdjson::dom::parser parser;
  std::string padded;  // it looks some bytes beyond the end
};

JsonCheck::JsonCheck() : parser_(std::make_unique<Parser>()) {}
JsonCheck::~JsonCheck() = default;

bool JsonCheck::passes(std::string_view text, std::size_t most_depth) {
  std::string& padded = parser_->padded;
  padded.assign(text);
  padded.append(simdjson::SIMDJSON_PADDING, '\0');
  if (parser_->parser.capacity() < text.size() || parser_->parser.max_depth() != most_depth) {
    if (parser_->parser.allocate(text.size(), most_depth) != simdjson::SUCCESS) return false;
  }
  return parser_->parser.parse(padded.data(), text.size(), false).error() == simdjson::SUCCESS;
}

}  // namespace snowfox::appservice
