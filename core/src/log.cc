#include <snowfox/core/log.h>

#include <unistd.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <unordered_map>
#include <vector>

namespace snowfox {
namespace {

constexpr std::array<std::string_view, 6> kLevelNames{"debug", "info", "warning", "error", "critical", "off"};
constexpr std::size_t kMaxLineBytes = 8192;
constexpr std::size_t kMaxValueBytes = 2048;

using Line = fmt::memory_buffer;

void append(Line& line, std::string_view text) { line.append(text.data(), text.data() + text.size()); }

/// With zeros in front, if it has fewer digits than `width`.
void append_padded(Line& line, std::uint64_t number, std::size_t width, int base = 10) {
  std::array<char, 64> digits;
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
  const auto count = static_cast<std::size_t>(end - digits.data());
  for (std::size_t i = count; i < width; ++i) line.push_back('0');
  append(line, {digits.data(), count});
}

/// A control character, as JSON has it.
void append_control(Line& line, char c) {
  append(line, "\\u");
  append_padded(line, static_cast<unsigned char>(c), 4, 16);
}

template <typename Number>
void append_number(Line& line, Number number) {
  std::array<char, 64> text;
  char* const end = text.data() + text.size();
  if constexpr (std::is_floating_point_v<Number>) {
    // No more digits than tell it from others, and no exponent where people would not write one.
    constexpr double kLargest = 1e15;
    constexpr double kSmallest = 1e-5;
    const double size = std::abs(number);
    const auto format =
        size == 0 || (size >= kSmallest && size < kLargest) ? std::chars_format::fixed : std::chars_format::scientific;
    append(line, {text.data(), std::to_chars(text.data(), end, number, format).ptr});
  } else {
    append(line, {text.data(), std::to_chars(text.data(), end, number).ptr});
  }
}

/// The number of bytes of the UTF-8 character that `text` begins with, 0 if it begins with none.
std::size_t utf8_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (lead == 0xe0 && byte(1) < 0xa0) return 0;   // spelled longer than needed
  if (lead == 0xed && byte(1) >= 0xa0) return 0;  // a surrogate
  if (lead == 0xf0 && byte(1) < 0x90) return 0;
  if (lead == 0xf4 && byte(1) >= 0x90) return 0;
  return length;
}

/// The front of `text`, at most `most` bytes, that ends between two characters.
std::string_view front_of(std::string_view text, std::size_t most) noexcept {
  if (text.size() <= most) return text;
  constexpr std::size_t kLongest = 4;
  for (std::size_t cut = most; cut != 0 && cut + kLongest > most; --cut) {
    if ((static_cast<unsigned char>(text[cut]) & 0xc0) != 0x80) return text.substr(0, cut);
  }
  return text.substr(0, most);  // no UTF-8 anyway
}

/// What JSON strings need, which is also what keeps a text line one line: control characters, quotes and backslashes
/// escaped, what is no UTF-8 replaced.
void append_escaped(Line& line, std::string_view text) {
  const bool cut = text.size() > kMaxValueBytes;
  text = front_of(text, kMaxValueBytes);
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = utf8_length(text);
    if (c == '"' || c == '\\') {
      line.push_back('\\');
      line.push_back(c);
    } else if (c == '\n') {
      append(line, "\\n");
    } else if (c == '\t') {
      append(line, "\\t");
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      append_control(line, c);
    } else if (length == 0) {
      append(line, "\xef\xbf\xbd");
    } else if (length == 2 && static_cast<unsigned char>(c) == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) {
      append_control(line, text[1]);
    } else {
      append(line, text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  if (cut) append(line, "…");
}

bool plain(std::string_view text) noexcept {
  if (text.empty()) return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f || c == '"' || c == '\\' ||
        c == '=') {
      return false;
    }
  }
  return true;
}

void append_value(Line& line, const LogField::Value& value, LogFormat format) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    if (format == LogFormat::Text && plain(*text) && text->size() <= kMaxValueBytes) {
      append(line, *text);
      return;
    }
    line.push_back('"');
    append_escaped(line, *text);
    line.push_back('"');
    return;
  }
  if (const auto* number = std::get_if<double>(&value); number != nullptr && !std::isfinite(*number)) {
    // JSON has no such number.
    append(line, format == LogFormat::Json ? "null" : std::isnan(*number) ? "nan" : *number > 0 ? "inf" : "-inf");
    return;
  }
  std::visit(
      [&line](const auto& other) {
        using Other = std::decay_t<decltype(other)>;
        if constexpr (std::is_same_v<Other, bool>) {
          append(line, other ? "true" : "false");
        } else if constexpr (!std::is_same_v<Other, std::string_view>) {
          append_number(line, other);
        }
      },
      value);
}

void append_time(Line& line, std::chrono::system_clock::time_point time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time - seconds).count();
  const std::time_t whole = seconds.time_since_epoch().count();
  std::tm utc{};
  ::gmtime_r(&whole, &utc);
  std::array<char, 64> text;
  append(line, {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &utc)});
  append_padded(line, static_cast<std::uint64_t>(micros), 6);
  line.push_back('Z');
}

void format_text(Line& line, const LogRecord& record) {
  append_time(line, record.time);
  constexpr std::size_t kWidth = 8;
  const std::string_view level = to_string(record.level);
  line.push_back(' ');
  append(line, level);
  for (std::size_t i = level.size(); i < kWidth + 1; ++i) line.push_back(' ');
  append_escaped(line, record.component);
  append(line, ": ");
  append_escaped(line, record.message);
  for (const LogField& field : record.fields) {
    line.push_back(' ');
    append(line, field.name);
    line.push_back('=');
    append_value(line, field.value, LogFormat::Text);
  }
  if (!record.correlation_id.empty()) {
    append(line, " id=");
    append_value(line, record.correlation_id.text(), LogFormat::Text);
  }
}

void format_json(Line& line, const LogRecord& record) {
  append(line, R"({"time":")");
  append_time(line, record.time);
  append(line, R"(","level":")");
  append(line, to_string(record.level));
  append(line, R"(","component":")");
  append_escaped(line, record.component);
  append(line, R"(","message":")");
  append_escaped(line, record.message);
  line.push_back('"');
  if (!record.correlation_id.empty()) {
    append(line, R"(,"correlation_id":")");
    append_escaped(line, record.correlation_id.text());
    line.push_back('"');
  }
  for (const LogField& field : record.fields) {
    append(line, ",\"");
    append_escaped(line, field.name);
    append(line, "\":");
    append_value(line, field.value, LogFormat::Json);
  }
  line.push_back('}');
}

void format_record(Line& line, const LogRecord& record, LogFormat format) {
  if (format == LogFormat::Text) {
    format_text(line, record);
    if (line.size() > kMaxLineBytes - 1) {
      line.resize(front_of({line.data(), line.size()}, kMaxLineBytes - 4).size());
      append(line, "…");
    }
    return;
  }
  format_json(line, record);
  if (line.size() > kMaxLineBytes - 1) {
    // Cut in the middle it would be no JSON: its fields go, and it says so. A byte takes six at most, escaped.
    line.clear();
    const LogField cut("fields_dropped", std::uint64_t{record.fields.size()});
    LogRecord shorter = record;
    shorter.fields = {&cut, 1};
    shorter.component = front_of(shorter.component, kMaxLineBytes / 64);
    shorter.message = front_of(shorter.message, kMaxLineBytes / 8);
    format_json(line, shorter);
  }
}

}  // namespace

std::string_view to_string(LogLevel level) noexcept { return kLevelNames[static_cast<std::size_t>(level)]; }

std::optional<LogLevel> parse_log_level(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kLevelNames.size(); ++i) {
    if (kLevelNames[i] == name) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

std::string format_log_record(const LogRecord& record, LogFormat format) {
  Line line;
  format_record(line, record, format);
  return fmt::to_string(line);
}

void DescriptorLogSink::write(const LogRecord& record) noexcept try {
  Line line;
  format_record(line, record, format_);
  line.push_back('\n');
  // A log that cannot be written must not stop what it tells of.
  [[maybe_unused]] const ssize_t written = ::write(fd_, line.data(), line.size());
} catch (...) {
}

/// How often each message came lately. Bounded: past kMaxKnown messages, all that are not being held back are
/// forgotten.
struct Log::Repeats {
  static constexpr std::chrono::seconds kWindow{10};
  static constexpr unsigned kMostInWindow = 10;
  static constexpr std::size_t kMaxKnown = 1024;

  struct Known {
    std::chrono::steady_clock::time_point window_began;
    unsigned in_window = 0;
    std::uint64_t held_back = 0;
    LogLevel level = LogLevel::Info;
    std::string component;
    std::string message;
  };
  std::unordered_map<std::size_t, Known> known;

  static std::size_t key(std::string_view component, std::string_view message) {
    const std::hash<std::string_view> hash;
    return hash(message) * 31 + hash(component);
  }
};

Log::Log(LogSink& sink, LogLevel level) : sink_(&sink), level_(level), repeats_(std::make_unique<Repeats>()) {}

Log::~Log() {
  for (const auto& [key, known] : repeats_->known) {
    if (known.held_back == 0) continue;
    const LogField repeated("repeated", known.held_back);
    sink_->write({std::chrono::system_clock::now(), known.level, known.component, {}, known.message, {&repeated, 1}});
  }
}

void Log::emit(LogLevel level, std::string_view component, std::string_view message, std::span<const LogField> fields,
               const CorrelationId& id) noexcept try {
  const LogRecord record{std::chrono::system_clock::now(), level, component, id, message, fields};
  if (observer_ != nullptr && !id.empty()) observer_->write(record);
  if (!enabled(level)) return;
  if (level == LogLevel::Critical) {
    sink_->write(record);
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  auto& all = repeats_->known;
  if (all.size() >= Repeats::kMaxKnown) {
    std::erase_if(all, [&](const auto& entry) {
      return entry.second.held_back == 0 || now - entry.second.window_began > Repeats::kWindow;
    });
  }
  Repeats::Known& known = all[Repeats::key(component, message)];
  if (known.in_window == 0 || now - known.window_began > Repeats::kWindow) {
    known.window_began = now;
    known.in_window = 0;
  }
  if (known.in_window == Repeats::kMostInWindow) {
    if (++known.held_back == 1) {
      known.level = level;
      known.component = component;
      known.message = message;
    }
    return;
  }
  ++known.in_window;
  if (known.held_back == 0) {
    sink_->write(record);
    return;
  }
  std::vector<LogField> counted(fields.begin(), fields.end());
  counted.emplace_back("repeated", known.held_back);
  known.held_back = 0;
  LogRecord with_count = record;
  with_count.fields = counted;
  sink_->write(with_count);
} catch (...) {
}

}  // namespace snowfox
