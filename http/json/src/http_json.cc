#include <snowfox/http/http_json.h>

namespace snowfox {
namespace {

std::string at(std::size_t byte, std::string_view what) {
  return "invalid JSON at byte " + std::to_string(byte) + ": " + std::string(what);
}

// Before it is parsed: what it would become costs many times what it is.
void check_depth(std::string_view text, std::size_t most) {
  std::size_t depth = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > most) throw JsonError(at(i + 1, "more than " + std::to_string(most) + " levels deep"), i + 1);
    } else if ((c == ']' || c == '}') && depth != 0) {
      --depth;
    }
  }
}

/// Of what nlohmann says, `[json.exception.parse_error.101] parse error at line 1, column 2: WHAT`, what is wrong.
std::string_view gist(std::string_view what) {
  const std::size_t place = what.find("column ");
  const std::size_t colon = what.find(": ", place == std::string_view::npos ? 0 : place);
  return colon == std::string_view::npos ? what : what.substr(colon + 2);
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    throw JsonError("the JSON is longer than " + std::to_string(limits.max_bytes) + " bytes", limits.max_bytes + 1);
  }
  check_depth(text, limits.max_depth);
  try {
    return nlohmann::json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::parse_error& error) {
    throw JsonError(at(error.byte, gist(error.what())), error.byte);
  } catch (const nlohmann::json::exception& error) {  // a number that is too large
    throw JsonError(at(1, error.what()), 1);
  }
}

std::optional<nlohmann::json> json_body(HttpEvent& event, const JsonLimits& limits) {
  const std::string_view body = event.request().body();
  try {
    return parse_json(body, limits);
  } catch (const JsonError& error) {
    constexpr int kBad = 400;
    constexpr int kTooLarge = 413;
    event.answer_error(body.size() > limits.max_bytes ? kTooLarge : kBad, error.what());
    return std::nullopt;
  }
}

bool answer_json(HttpResponder& responder, int status, const nlohmann::json& value, HttpFields fields) {
  const std::string body = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return responder.answer({.status = status, .content_type = "application/json", .body = body, .fields = fields});
}

bool answer_json(HttpEvent& event, int status, const nlohmann::json& value, HttpFields fields) {
  return answer_json(event.responder(), status, value, fields);
}

}  // namespace snowfox
