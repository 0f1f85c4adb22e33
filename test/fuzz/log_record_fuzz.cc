// Whatever is logged, a line is one line, harmless to a terminal, and JSON if it is to be.
#include <snowfox/core/log.h>

#include <array>
#include <bit>
#include <string>
#include <vector>

#include "fuzz.h"
#include "support/json.h"

using namespace snowfox;

namespace {

LogField field(FuzzInput& input) {
  static constexpr std::array<std::string_view, 3> kNames{"peer", "reason", "path"};
  const std::uint8_t kind = input.byte();
  const std::string_view name = kNames[kind / 8 % kNames.size()];
  const auto text = input.bytes(input.byte());
  std::uint64_t number = text.size();
  for (const char c : text.substr(0, 8)) number = number << 8 | static_cast<unsigned char>(c);
  switch (kind % 8) {
    case 0: return {name, number};
    case 1: return {name, static_cast<std::int64_t>(number)};
    case 2: return {name, std::bit_cast<double>(number)};
    case 3: return {name, number % 2 == 0};
    default: return {name, text};
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  const auto level = static_cast<LogLevel>(input.byte() % 6);
  const std::string message(input.bytes(input.byte()));
  const auto id = CorrelationId::parse(input.bytes(input.byte() % 64));
  // A long text, since what is long is cut.
  std::string text(input.bytes(input.byte()));
  for (int doublings = input.byte() % 6; doublings > 0; --doublings) text += text;
  std::vector<LogField> fields{LogField("text", text)};
  while (!input.empty()) fields.push_back(field(input));

  const LogRecord record{{}, level, "fuzz", id.value_or(CorrelationId()), message, fields};
  const std::string line = format_log_record(record, LogFormat::Text);
  demand(harmless(line) && is_utf8(line), "a line of the log is not one line of text");
  demand(line.size() < 8192, "a line of the log is too long");
  const std::string json = format_log_record(record, LogFormat::Json);
  demand(harmless(json) && is_json(json), "a line of the log is not JSON");
  demand(json.size() < 8192, "a JSON line of the log is too long");
  return 0;
}
