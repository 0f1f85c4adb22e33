#include "sql.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace snowfox {
namespace {

constexpr std::size_t kShownBytes = 120;
/// https://www.postgresql.org/docs/15/protocol-message-formats.html: Bind counts them with 16 bits.
constexpr std::size_t kMostParameters = 65535;

bool letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

std::string first_word(std::string_view sql) {
  std::size_t at = 0;
  while (at < sql.size()) {
    if (space(sql[at]) || sql[at] == ';' || sql[at] == '(') {
      ++at;
    } else if (sql.substr(at, 2) == "--") {
      at = std::min(sql.find('\n', at), sql.size());
    } else if (sql.substr(at, 2) == "/*") {
      // They nest in PostgreSQL.
      for (int depth = 0; at < sql.size();) {
        if (sql.substr(at, 2) == "/*") {
          ++depth;
          at += 2;
        } else if (sql.substr(at, 2) == "*/") {
          at += 2;
          if (--depth == 0) break;
        } else {
          ++at;
        }
      }
    } else {
      break;
    }
  }
  std::string word;
  for (; at < sql.size() && letter(sql[at]); ++at) word += static_cast<char>(sql[at] & ~0x20);
  return word;
}

bool denied(std::string_view sql) {
  static constexpr std::array<std::string_view, 16> kDenied = {
      "ABORT", "BEGIN",   "COMMIT",  "COPY",  "DEALLOCATE", "DISCARD",   "END", "EXECUTE",
      "LOAD",  "PREPARE", "RELEASE", "RESET", "ROLLBACK",   "SAVEPOINT", "SET", "START"};
  return std::binary_search(kDenied.begin(), kDenied.end(), std::string_view(first_word(sql)));
}

std::string shown(std::string_view sql) {
  std::string text(sql.substr(0, kShownBytes));
  if (sql.size() > kShownBytes) {
    // Not in the middle of a character.
    while (!text.empty() && (text.back() & 0xc0) == 0x80) text.pop_back();
    if (!text.empty() && (text.back() & 0x80) != 0) text.pop_back();
    text += "…";
  }
  std::replace_if(
      text.begin(), text.end(), [](char c) { return space(c); }, ' ');
  return text;
}

void check_sendable(const PostgresStatement& statement, std::string_view what) {
  const std::string_view sql = statement.sql;
  if (const std::size_t zero = sql.find('\0'); zero != sql.npos) {
    throw PostgresError("22021", std::string(what) + ": " + shown(sql.substr(0, zero)) + ": there is a zero in it");
  }
  if (statement.parameters.size() > kMostParameters) {
    throw PostgresError("54023", std::string(what) + ": " + shown(sql) + ": more than " +
                                     std::to_string(kMostParameters) + " parameters");
  }
}

}  // namespace snowfox
