#include <snowfox/http/http_request.h>

#include <algorithm>

#include "token.h"

namespace snowfox {
namespace {

/// Bodies of so many bytes are received into memory that is kept for the next one.
constexpr std::size_t kKeptBytes = 64U << 10;

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

std::string loosely_decoded(std::string_view text) {
  auto decoded = percent_decoded(text, true);
  return decoded ? *std::move(decoded) : std::string(text);
}

}  // namespace

bool same_token(std::string_view left, std::string_view right) noexcept {
  return left.size() == right.size() &&
         std::equal(left.begin(), left.end(), right.begin(), [](char a, char b) { return lower(a) == lower(b); });
}

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus_is_space) {
      c = ' ';
    } else if (c == '%') {
      if (text.size() - i < 3) return std::nullopt;
      const int high = hexadecimal_digit(text[i + 1]);
      const int low = hexadecimal_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high << 4 | low);
      i += 2;
    }
    decoded.push_back(c);
  }
  return decoded;
}

std::optional<std::string_view> HttpRequest::field(std::string_view name) const noexcept {
  for (const FieldParts& field : fields_) {
    if (field.name.size == name.size() && same_token(text(field.name), name)) return text(field.value);
  }
  return std::nullopt;
}

std::optional<std::string_view> HttpRequest::parameter(std::string_view name) const noexcept {
  for (const Parameter& parameter : parameters_) {
    if (parameter.name != name) continue;
    if (!parameter.decoded) return text(parameter.value);
    return std::string_view(decoded_parameters_).substr(parameter.value.begin, parameter.value.size);
  }
  return std::nullopt;
}

std::optional<std::string> HttpRequest::query_value(std::string_view name) const {
  std::string_view left = query();
  while (!left.empty()) {
    const std::string_view pair = left.substr(0, left.find('&'));
    left.remove_prefix(std::min(left.size(), pair.size() + 1));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    if (loosely_decoded(pair.substr(0, equals)) != name) continue;
    return loosely_decoded(pair.substr(std::min(pair.size(), equals + 1)));
  }
  return std::nullopt;
}

void HttpRequest::borrow(ReceiveBuffer& buffer, std::span<const std::byte> bytes) noexcept {
  clear();
  buffer.lend(bytes, received_);
}

void HttpRequest::clear() noexcept {
  received_.reset();
  fields_.clear();
  parameters_.clear();
  decoded_parameters_.clear();
  own_body_.clear();
  if (own_body_.capacity() > kKeptBytes) own_body_ = std::string();
  method_ = target_ = path_ = query_ = host_ = {};
  head_bytes_ = in_place_body_bytes_ = 0;
  minor_version_ = 1;
  body_is_own_ = decoded_ = false;
}

}  // namespace snowfox
