#include <snowfox/http_client/http_client_headers.h>

#include <algorithm>
#include <utility>

namespace snowfox {
namespace {

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept {
  return left.size() == right.size() &&
         std::equal(left.begin(), left.end(), right.begin(), [](char a, char b) { return lower(a) == lower(b); });
}

HttpClientHeaders::HttpClientHeaders(std::initializer_list<Field> fields) {
  for (const Field& field : fields) add(field.name, field.value);
}

void HttpClientHeaders::add(std::string_view name, std::string_view value) {
  const std::size_t value_at = text_.size() + name.size();
  const Place place{.name = text_.size(), .value = value_at, .end = value_at + value.size()};
  if (places_.empty()) places_.reserve(16);
  text_.append(name).append(value);
  places_.push_back(place);
}

void HttpClientHeaders::continue_last(std::string_view value) {
  if (places_.empty()) return;
  if (places_.back().end != places_.back().value) text_ += ' ';
  text_ += value;
  places_.back().end = text_.size();
}

void HttpClientHeaders::remove(std::string_view name) {
  if (!contains(name)) return;
  HttpClientHeaders rest;
  for (std::size_t i = 0; i < size(); ++i) {
    const Field field = (*this)[i];
    if (!equal_ignoring_case(field.name, name)) rest.add(field.name, field.value);
  }
  *this = std::move(rest);
}

void HttpClientHeaders::clear() noexcept {
  text_.clear();
  places_.clear();
}

std::optional<std::string_view> HttpClientHeaders::find(std::string_view name) const noexcept {
  for (std::size_t i = 0; i < size(); ++i) {
    const Field field = (*this)[i];
    if (equal_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

HttpClientHeaders::Field HttpClientHeaders::operator[](std::size_t index) const noexcept {
  const Place& place = places_[index];
  const std::string_view text = text_;
  return {text.substr(place.name, place.value - place.name), text.substr(place.value, place.end - place.value)};
}

}  // namespace snowfox
