#include "head_scan.h"

#include <algorithm>
#include <string>

#include <snowfox/http/http_protocol.h>

namespace snowfox {
namespace {

std::string line(std::uint32_t before) { return "line " + std::to_string(before + 1); }

Refusal too_long(std::uint32_t lines, std::size_t line_limit, bool whole_head, const HttpOptions& options) {
  if (whole_head) return {431, "the head is longer than " + std::to_string(options.max_head_bytes) + " bytes"};
  return {lines == 0 ? 414 : 431, line(lines) + " is longer than " + std::to_string(line_limit) + " bytes"};
}

}  // namespace

std::size_t HeadScan::look(std::string_view text, const HttpOptions& options, Refusal& refusal) {
  for (;;) {
    const std::size_t line_limit = lines == 0 ? options.max_request_line_bytes : options.max_field_bytes;
    // Both limits count the line's end; whichever is passed first is told.
    const std::size_t line_most = line_begin + line_limit + 2;
    const std::size_t most = std::min(line_most, options.max_head_bytes);
    const std::size_t end = text.find('\n', line_begin);
    if (std::min(end, text.size()) >= most) {
      refusal = too_long(lines, line_limit, options.max_head_bytes <= line_most, options);
      return 0;
    }
    if (end == std::string_view::npos) return 0;
    if (end == line_begin || text[end - 1] != '\r') {
      refusal = {400, line(lines) + " ends in LF without CR"};
      return 0;
    }
    if (end - 1 == line_begin) return end + 1;
    if (lines != 0 && (text[line_begin] == ' ' || text[line_begin] == '\t')) {
      refusal = {400, line(lines) + " is folded: it begins with a space"};
      return 0;
    }
    ++lines;
    line_begin = static_cast<std::uint32_t>(end + 1);
  }
}

}  // namespace snowfox
