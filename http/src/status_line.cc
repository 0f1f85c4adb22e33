#include "status_line.h"

#include <array>
#include <cassert>
#include <cstddef>

namespace snowfox {
namespace {

constexpr int kFirst = 100;
constexpr int kLast = 599;

constexpr std::string_view phrase(int status) noexcept {
  switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default: break;
  }
  switch (status / 100) {
    case 1: return "Informational";
    case 2: return "Success";
    case 3: return "Redirection";
    case 4: return "Client Error";
    default: return "Server Error";
  }
}

/// One line of those below.
struct Line {
  std::array<char, 56> text{};
  std::size_t size = 0;

  constexpr void add(std::string_view more) noexcept {
    for (const char c : more) text[size++] = c;
  }
};

constexpr auto kLines = [] {
  std::array<Line, kLast - kFirst + 1> lines{};
  for (int status = kFirst; status <= kLast; ++status) {
    Line& line = lines[static_cast<std::size_t>(status - kFirst)];
    line.add("HTTP/1.1 ");
    for (const int digit : {status / 100, status / 10 % 10, status % 10}) {
      line.text[line.size++] = static_cast<char>('0' + digit);
    }
    line.add(" ");
    line.add(phrase(status));
    line.add("\r\n");
  }
  return lines;
}();

}  // namespace

std::string_view status_line(int status) noexcept {
  assert(status >= kFirst && status <= kLast);
  const Line& line = kLines[static_cast<std::size_t>(status - kFirst)];
  return {line.text.data(), line.size};
}

}  // namespace snowfox
