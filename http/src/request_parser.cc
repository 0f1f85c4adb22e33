#include "request_parser.h"

#include <algorithm>
#include <limits>

#include <boost/beast/http/basic_parser.hpp>

#include <snowfox/http/http_protocol.h>
#include <snowfox/http/http_request.h>

#include "token.h"

namespace snowfox {
namespace {

namespace http = boost::beast::http;

std::string_view view(boost::beast::string_view text) noexcept { return {text.data(), text.size()}; }

std::string line(std::size_t number) { return "line " + std::to_string(number) + ": "; }

/// What Beast has found wrong in a head.
std::string_view meaning(const boost::system::error_code& error) {
  if (error == http::error::bad_method) return "the method is no token, or no single space follows it";
  if (error == http::error::bad_target) return "the target has a character that it may not have, or no space follows";
  if (error == http::error::bad_version) return "HTTP/1.0 or HTTP/1.1 was expected, and the end of the line";
  if (error == http::error::bad_field) return "the name of the field is no token followed by a colon";
  if (error == http::error::bad_value) return "the value of the field has a control character";
  if (error == http::error::bad_line_ending) return "CR without LF";
  if (error == http::error::bad_content_length) return "Content-Length is no number, or not the only length";
  if (error == http::error::bad_transfer_encoding) return "Transfer-Encoding is not the only length";
  if (error == http::error::need_more) return "the head ends too early";
  return "not understood";
}

std::optional<std::uint64_t> decimal(std::string_view text) noexcept {
  constexpr std::size_t kMostDigits = 18;  // these surely fit
  if (text.empty() || text.size() > kMostDigits) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<unsigned>(c - '0');
  }
  return number;
}

/// Whether all of `text` may be in a host's name (RFC 3986, 3.2.2): each percent sign begins an escape.
bool host_name(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter || std::string_view("-._~!$&'()*+;=,").find(c) != std::string_view::npos) continue;
    if (c != '%' || text.size() - i < 3) return false;
    if (hexadecimal_digit(text[i + 1]) < 0 || hexadecimal_digit(text[i + 2]) < 0) return false;
  }
  return true;
}

/// What is between the brackets of `[::1]`: the characters of an address, or of a later version's.
bool bracketed_address(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c == ':' || (c != '%' && c != ',' && host_name({&c, 1}));
  });
}

/// `host[:port]` as in RFC 3986, without user information: not what it means, but that nothing else is in it.
bool plausible_host(std::string_view host) noexcept {
  const bool brackets = host.starts_with('[');
  const std::size_t end = brackets ? host.find(']') : host.find(':');
  const std::string_view name = host.substr(0, end);
  if (brackets && end == std::string_view::npos) return false;
  if (brackets ? !bracketed_address(name.substr(1)) : !host_name(name)) return false;
  std::string_view port = brackets ? host.substr(end + 1) : host.substr(name.size());
  if (port.empty()) return true;
  if (port.front() != ':') return false;
  port.remove_prefix(1);
  return std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Whether it would be a request line if its version were ours.
bool other_version(std::string_view line) noexcept {
  const std::size_t version = std::min(line.rfind(' '), line.size());
  return std::count(line.begin(), line.end(), ' ') == 2 && line.size() == version + 9 &&
         line.substr(version).starts_with(" HTTP/") && line[version + 7] == '.';
}

/// Whether the line of `head` after so many others is a Connection whose value could be one: for all that Beast says.
bool connection_line(std::string_view head, std::size_t lines_before) noexcept {
  for (; lines_before != 0; --lines_before) head.remove_prefix(std::min(head.size(), head.find('\n') + 1));
  head = head.substr(0, head.find('\r'));
  const std::string_view name = head.substr(0, head.find(':'));
  return (same_token(name, "connection") || same_token(name, "proxy-connection")) &&
         std::none_of(head.begin(), head.end(), control_character);
}

bool hexadecimal(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// The trace id of a `traceparent` (https://www.w3.org/TR/trace-context/#traceparent-header); empty if it is none.
std::string_view trace_id(std::string_view text) noexcept {
  constexpr std::size_t kVersion = 2;
  constexpr std::size_t kTrace = 32;
  constexpr std::size_t kSize = 55;
  if (text.size() < kSize || (text.size() > kSize && (text.starts_with("00") || text[kSize] != '-'))) return {};
  if (text[kVersion] != '-' || text[kVersion + 1 + kTrace] != '-' || text[kSize - 3] != '-') return {};
  const std::string_view id = text.substr(kVersion + 1, kTrace);
  if (!hexadecimal(text.substr(0, kVersion)) || text.starts_with("ff") || !hexadecimal(id)) return {};
  return id.find_first_not_of('0') == std::string_view::npos ? std::string_view() : id;
}

}  // namespace

class RequestParser final : private http::basic_parser<true> {
 public:
  RequestParser() {
    // HeadScan has limited the head already, and the body's limit is known when its route is. (In Boost 1.74 every
    // length is above `boost::none`.)
    header_limit(std::numeric_limits<std::uint32_t>::max());
    body_limit(std::numeric_limits<std::uint64_t>::max());
  }

  Refusal read_head(std::string_view head, HttpRequest& request, const HttpOptions& options, RequestFacts& facts) {
    request_ = &request;
    options_ = &options;
    facts_ = &facts;
    boost::system::error_code error;
    put(boost::asio::buffer(head.data(), head.size()), error);
    if (refusal_) return std::move(refusal_);
    if (error == http::error::bad_version && other_version(head.substr(0, head.find("\r\n")))) {
      return {505, line(1) + "HTTP/1.0 or HTTP/1.1 was expected"};
    }
    if (error == http::error::bad_value && connection_line(head, lines_)) {
      return {400, line(lines_ + 1) + "Connection is no list of tokens"};
    }
    if (error) return {400, line(lines_ + 1) + std::string(meaning(error))};
    facts.keep_alive = keep_alive();
    if (Refusal refusal = check_whole()) return refusal;
    return {};
  }

 private:
  using Error = boost::system::error_code;
  using View = boost::beast::string_view;

  void refuse(int status, std::string why, Error& error) {
    refusal_ = {status, std::move(why)};
    error = http::error::bad_value;
  }

  void on_request_impl(http::verb, View method, View target, int version, Error& error) override {
    lines_ = 1;
    request_->method_ = request_->part_of(view(method));
    request_->target_ = request_->part_of(view(target));
    request_->minor_version_ = static_cast<std::uint8_t>(version % 10);
    take_target(view(target), error);
  }

  void take_target(std::string_view target, Error& error) {
    const std::string_view method = request_->method();
    if (method == "CONNECT") return refuse(501, line(1) + "CONNECT is not served", error);
    std::string_view path = target;
    if (target == "*") {
      if (method != "OPTIONS") return refuse(400, line(1) + "the target * is for OPTIONS", error);
    } else if (!target.starts_with('/')) {
      const std::size_t scheme = target.find("://");
      if (scheme == std::string_view::npos ||
          (!same_token(target.substr(0, scheme), "http") && !same_token(target.substr(0, scheme), "https"))) {
        return refuse(400, line(1) + "the target does not begin with a slash", error);
      }
      const std::string_view rest = target.substr(scheme + 3);
      const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
      if (authority.empty() || !plausible_host(authority)) {
        return refuse(400, line(1) + "the target's host is none", error);
      }
      request_->host_ = request_->part_of(authority);
      host_in_target_ = true;
      path = rest.substr(authority.size());
    }
    if (path.find('#') != std::string_view::npos) return refuse(400, line(1) + "the target has a fragment", error);
    const std::size_t query = path.find('?');
    if (query != std::string_view::npos) request_->query_ = request_->part_of(path.substr(query + 1));
    request_->path_ = request_->part_of(path.substr(0, query));
  }

  void on_field_impl(http::field field, View name, View value, Error& error) override {
    ++lines_;
    if (request_->fields_.size() == options_->max_fields) {
      return refuse(431, "more than " + std::to_string(options_->max_fields) + " fields", error);
    }
    request_->fields_.push_back({request_->part_of(view(name)), request_->part_of(view(value))});
    take_field(field, view(name), view(value), error);
  }

  void take_field(http::field field, std::string_view name, std::string_view value, Error& error) {
    switch (field) {
      case http::field::host:
        if (seen_host_) return refuse(400, line(lines_) + "a second Host", error);
        if (!plausible_host(value)) return refuse(400, line(lines_) + "Host is none", error);
        seen_host_ = true;
        if (!host_in_target_) request_->host_ = request_->part_of(value);
        return;
      case http::field::content_length:
        if (facts_->content_length) return refuse(400, line(lines_) + "a second Content-Length", error);
        facts_->content_length = decimal(value);
        if (!facts_->content_length) return refuse(400, line(lines_) + "Content-Length is no number", error);
        return;
      case http::field::transfer_encoding:
        if (!same_token(value, "chunked")) {
          return refuse(501, line(lines_) + "Transfer-Encoding is not exactly `chunked`", error);
        }
        facts_->chunked = true;
        return;
      case http::field::expect:
        if (request_->minor_version_ == 0) return;
        if (!same_token(value, "100-continue")) return refuse(417, line(lines_) + "Expect is not 100-continue", error);
        facts_->expects_continue = true;
        return;
      case http::field::content_encoding: return take_coding(value);
      case http::field::unknown: return take_own(name, value, error);
      default: return;
    }
  }

  void take_coding(std::string_view value) noexcept {
    using Coding = RequestFacts::Coding;
    if (value.empty() || same_token(value, "identity")) return;
    if (facts_->coding != Coding::None) {
      facts_->coding = Coding::Unknown;  // two of them
    } else if (same_token(value, "gzip") || same_token(value, "x-gzip")) {
      facts_->coding = Coding::Gzip;
    } else {
      facts_->coding = same_token(value, "deflate") ? Coding::Deflate : Coding::Unknown;
    }
  }

  void take_own(std::string_view name, std::string_view value, Error& error) {
    if (same_token(name, "x-correlation-id")) {
      const bool plain = std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c < '\x7f'; });
      if (!plain || !facts_->correlation_id.set(value)) {
        return refuse(400, line(lines_) + "X-Correlation-Id is not 1 to 39 visible ASCII characters", error);
      }
      own_id_ = true;
    } else if (!own_id_ && same_token(name, "traceparent")) {
      if (const std::string_view id = trace_id(value); !id.empty()) facts_->correlation_id.set(id);
    }
  }

  Refusal check_whole() const {
    if (request_->minor_version_ == 0) {
      if (facts_->chunked) return {400, "Transfer-Encoding in HTTP/1.0"};
    } else if (!seen_host_) {
      return {400, "HTTP/1.1 without Host"};
    }
    return {};
  }

  void on_response_impl(int, View, int, Error&) override {}
  void on_header_impl(Error&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Error&) override {}
  std::size_t on_body_impl(View body, Error&) override { return body.size(); }
  void on_finish_impl(Error&) override {}

  void on_chunk_header_impl(std::uint64_t, View, Error&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View body, Error&) override { return body.size(); }

  HttpRequest* request_ = nullptr;
  const HttpOptions* options_ = nullptr;
  RequestFacts* facts_ = nullptr;
  std::size_t lines_ = 0;
  Refusal refusal_;
  bool seen_host_ = false;
  bool host_in_target_ = false;
  bool own_id_ = false;
};

Refusal read_request_head(std::string_view head, HttpRequest& request, const HttpOptions& options,
                          RequestFacts& facts) {
  return RequestParser().read_head(head, request, options, facts);
}

}  // namespace snowfox
