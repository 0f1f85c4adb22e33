#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include <snowfox/core/log.h>

namespace snowfox {

/// Keeps what is logged, all values as text.
class RecordingSink final : public LogSink {
 public:
  struct Line {
    LogLevel level;
    std::string component;
    std::string message;
    std::string correlation_id;
    std::map<std::string, std::string> fields;
  };

  void write(const LogRecord& record) noexcept override {
    Line line{
        record.level, std::string(record.component), std::string(record.message), record.correlation_id.str(), {}};
    for (const LogField& field : record.fields) line.fields[std::string(field.name)] = text_of(field.value);
    lines.push_back(std::move(line));
  }

  std::size_t count(std::string_view message) const {
    return static_cast<std::size_t>(
        std::count_if(lines.begin(), lines.end(), [&](const Line& line) { return line.message == message; }));
  }
  /// The first line with this message; an empty one if there is none.
  Line find(std::string_view message) const {
    const auto found =
        std::find_if(lines.begin(), lines.end(), [&](const Line& line) { return line.message == message; });
    return found == lines.end() ? Line{} : *found;
  }

  std::vector<Line> lines;

 private:
  static std::string text_of(const LogField::Value& value) {
    return std::visit(
        [](const auto& given) {
          if constexpr (std::is_same_v<std::decay_t<decltype(given)>, std::string_view>) {
            return std::string(given);
          } else {
            return std::to_string(given);
          }
        },
        value);
  }
};

}  // namespace snowfox
