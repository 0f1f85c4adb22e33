#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <snowfox/http/http_event.h>

namespace snowfox {

/// What JSON from outside may be.
struct JsonLimits {
  std::size_t max_bytes = 16U << 20;
  std::size_t max_depth = 64;  ///< of lists and objects in one another
};

/// A text is no JSON, or more than is allowed.
class JsonError : public std::runtime_error {
 public:
  JsonError(const std::string& what, std::size_t byte) : std::runtime_error(what), byte_(byte) {}
  /// Where it was noticed, counted from 1.
  std::size_t byte() const noexcept { return byte_; }

 private:
  std::size_t byte_;
};

/// Reads `text`, which must be UTF-8. Throws JsonError: `invalid JSON at byte 7: ...`.
nlohmann::json parse_json(std::string_view text, const JsonLimits& limits = {});

/// The request's body; nothing if that is no JSON, and then it was answered: 400, saying where, or 413.
std::optional<nlohmann::json> json_body(HttpEvent& event, const JsonLimits& limits = {});

/// Answers `value`, as `application/json`. Text in it that is no UTF-8 has U+FFFD in its place.
bool answer_json(HttpResponder& responder, int status, const nlohmann::json& value, HttpFields fields = {});
bool answer_json(HttpEvent& event, int status, const nlohmann::json& value, HttpFields fields = {});

}  // namespace snowfox
