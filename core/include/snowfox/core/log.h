#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include <snowfox/core/correlation_id.h>

namespace snowfox {

enum class LogLevel : std::uint8_t { Debug, Info, Warning, Error, Critical, Off };

/// "debug", "info", …; the level that a name means is given by parse_log_level, or nothing.
std::string_view to_string(LogLevel level) noexcept;
std::optional<LogLevel> parse_log_level(std::string_view name) noexcept;

/// A named value of a log line. It borrows: use it only as an argument.
struct LogField {
  using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;

  LogField(std::string_view field, std::string_view text) : name(field), value(text) {}
  LogField(std::string_view field, const char* text) : name(field), value(std::string_view(text)) {}
  LogField(std::string_view field, const std::string& text) : name(field), value(std::string_view(text)) {}
  LogField(std::string_view field, bool truth) : name(field), value(truth) {}
  LogField(std::string_view field, std::floating_point auto number) : name(field), value(double{number}) {}
  LogField(std::string_view field, std::signed_integral auto number) : name(field), value(std::int64_t{number}) {}
  LogField(std::string_view field, std::unsigned_integral auto number) : name(field), value(std::uint64_t{number}) {}

  std::string_view name;
  Value value;
};

/// One line on its way to a sink. It borrows all it names.
struct LogRecord {
  std::chrono::system_clock::time_point time;
  LogLevel level;
  std::string_view component;
  CorrelationId correlation_id;  ///< empty if the line belongs to no chain
  std::string_view message;
  std::span<const LogField> fields;
};

/// Where log lines go. An adapter to another log library derives from this.
class LogSink {
 public:
  virtual ~LogSink() = default;
  /// Must not throw and should not block. Control characters in what it is given are the sink's to escape.
  virtual void write(const LogRecord& record) noexcept = 0;
};

enum class LogFormat : std::uint8_t { Text, Json };

/// Calls `write`, which logs something for which it must build texts first: for places that may not throw. Without
/// memory it is the line that is lost.
template <typename Write>
void log_if_possible(const Write& write) noexcept {
  try {
    write();
  } catch (...) {
  }
}

/// Writes each record as one line to a descriptor that it borrows, normally 2, with one write(2): text, or a JSON
/// object. Control characters are escaped, so nothing from outside can forge a line; a line is cut at 8 KiB. What the
/// descriptor does not take is dropped.
class DescriptorLogSink final : public LogSink {
 public:
  explicit DescriptorLogSink(int fd, LogFormat format = LogFormat::Text) noexcept : fd_(fd), format_(format) {}
  void write(const LogRecord& record) noexcept override;
  void set_format(LogFormat format) noexcept { format_ = format; }

 private:
  int fd_;
  LogFormat format_;
};

/// `record` as DescriptorLogSink writes it, without the newline.
std::string format_log_record(const LogRecord& record, LogFormat format);

/// What the program logs with: filters by level and bounds the rate. The same message of the same component may come
/// ten times in ten seconds; after that it is counted, and the count goes out with the next one let through
/// (field `repeated`).
class Log {
 public:
  /// `sink` must outlive the log.
  explicit Log(LogSink& sink, LogLevel level = LogLevel::Info);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void set_level(LogLevel level) noexcept { level_ = level; }
  LogLevel level() const noexcept { return level_; }
  bool enabled(LogLevel level) const noexcept { return level >= level_ && level != LogLevel::Off; }
  void set_sink(LogSink& sink) noexcept { sink_ = &sink; }
  /// Who is given, besides the sink and before it, each line that has a correlation id: also those whose level is too
  /// low, and those that are held back because they are repeated. Null: nobody. Must outlive the log, or be replaced.
  void set_observer(LogSink* observer) noexcept { observer_ = observer; }

  /// Whether anybody would be given such a line: for what is not to be put together in vain.
  bool wanted(LogLevel level, const CorrelationId& id) const noexcept {
    return enabled(level) || (observer_ != nullptr && !id.empty());
  }

  using Fields = std::initializer_list<LogField>;
  /// `message` should be constant text, what varies goes into `fields`: repeated lines are known by it.
  void write(LogLevel level, std::string_view component, std::string_view message, Fields fields = {},
             const CorrelationId& id = {}) noexcept {
    if (wanted(level, id)) emit(level, component, message, {fields.begin(), fields.size()}, id);
  }
  void debug(std::string_view component, std::string_view message, Fields fields = {},
             const CorrelationId& id = {}) noexcept {
    write(LogLevel::Debug, component, message, fields, id);
  }
  void info(std::string_view component, std::string_view message, Fields fields = {},
            const CorrelationId& id = {}) noexcept {
    write(LogLevel::Info, component, message, fields, id);
  }
  void warning(std::string_view component, std::string_view message, Fields fields = {},
               const CorrelationId& id = {}) noexcept {
    write(LogLevel::Warning, component, message, fields, id);
  }
  void error(std::string_view component, std::string_view message, Fields fields = {},
             const CorrelationId& id = {}) noexcept {
    write(LogLevel::Error, component, message, fields, id);
  }
  void critical(std::string_view component, std::string_view message, Fields fields = {},
                const CorrelationId& id = {}) noexcept {
    write(LogLevel::Critical, component, message, fields, id);
  }

 private:
  struct Repeats;
  void emit(LogLevel level, std::string_view component, std::string_view message, std::span<const LogField> fields,
            const CorrelationId& id) noexcept;

  LogSink* sink_;
  LogSink* observer_ = nullptr;
  LogLevel level_;
  std::unique_ptr<Repeats> repeats_;
};

}  // namespace snowfox
