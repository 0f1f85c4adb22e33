#include "outgoing_header.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include <fmt/format.h>

namespace snowfox {
namespace {

// https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
bool is_token(std::string_view text) noexcept {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kMarks.find(c) != kMarks.npos;
  });
}

bool is_value(std::string_view text) noexcept {
  return std::none_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == '\x7f'; });
}

bool is_visible(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

/// The trace id that `id` is, or is the UUID of; empty if it is neither.
std::string_view trace_id(std::string_view id, std::array<char, 32>& room) noexcept {
  constexpr std::size_t kUuid = 36;
  if (id.size() != room.size() && id.size() != kUuid) return {};
  std::size_t count = 0;
  bool any = false;
  for (std::size_t i = 0; i < id.size(); ++i) {
    const char c = id[i];
    if (id.size() == kUuid && (i == 8 || i == 13 || i == 18 || i == 23)) {
      if (c != '-') return {};
      continue;
    }
    const char small = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    if (!((small >= '0' && small <= '9') || (small >= 'a' && small <= 'f'))) return {};
    any = any || small != '0';
    room[count++] = small;
  }
  return any ? std::string_view(room.data(), room.size()) : std::string_view{};
}

}  // namespace

std::string_view unfit_for_sending(const HttpClientRequest& request) noexcept {
  if (!is_token(request.method)) return "its method";
  if (request.method == "CONNECT") return "its method";
  if (request.method == "HEAD" && !request.body.empty()) return "a body with HEAD";
  for (std::size_t i = 0; i < request.headers.size(); ++i) {
    const auto [name, value] = request.headers[i];
    if (!is_token(name)) return "the name of a header field";
    if (!is_value(value)) return "the value of a header field";
    if (equal_ignoring_case(name, "Content-Length") || equal_ignoring_case(name, "Transfer-Encoding")) {
      return "a header field that says how long the body is";
    }
  }
  return {};
}

void OutgoingHeader::assign(const HttpClientRequest& request, std::uint64_t span) {
  text_.clear();
  lines_.clear();
  nodes_.clear();
  for (std::size_t i = 0; i < request.headers.size(); ++i) {
    const auto [name, value] = request.headers[i];
    add(name, value);
  }
  add_correlation(request, span);
  // What libcurl would add of its own. Waiting for "100 Continue" costs a second with servers that do not know it.
  if (!request.headers.contains("Expect")) suppress("Expect");
  if (!request.headers.contains("Content-Type")) suppress("Content-Type");

  nodes_.reserve(lines_.size());
  for (const std::size_t line : lines_) nodes_.push_back({.data = text_.data() + line, .next = nullptr});
  for (std::size_t i = 1; i < nodes_.size(); ++i) nodes_[i - 1].next = &nodes_[i];
}

void OutgoingHeader::add(std::string_view name, std::string_view value) {
  lines_.push_back(text_.size());
  text_.append(name);
  // Without a value libcurl wants it said in this way.
  if (value.find_first_not_of(" \t") == value.npos) {
    text_.append(";");
  } else {
    text_.append(": ").append(value);
  }
  text_ += '\0';
}

void OutgoingHeader::suppress(std::string_view name) {
  lines_.push_back(text_.size());
  text_.append(name).append(":");
  text_ += '\0';
}

void OutgoingHeader::add_correlation(const HttpClientRequest& request, std::uint64_t span) {
  const std::string_view id = request.correlation_id.text();
  if (id.empty() || !is_visible(id)) return;
  if (!request.headers.contains("X-Correlation-Id")) add("X-Correlation-Id", id);
  if (request.headers.contains("traceparent")) return;
  // https://www.w3.org/TR/trace-context/#traceparent-header
  std::array<char, 32> room;
  const std::string_view trace = trace_id(id, room);
  if (trace.empty()) return;
  std::array<char, 64> value;
  const auto end = fmt::format_to_n(value.data(), value.size(), "00-{}-{:016x}-01", trace, span).out;
  add("traceparent", {value.data(), static_cast<std::size_t>(end - value.data())});
}

}  // namespace snowfox
