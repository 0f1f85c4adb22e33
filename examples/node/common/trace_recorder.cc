#include "common/trace_recorder.h"

#include <algorithm>
#include <chrono>
#include <type_traits>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include <snowfox/sources/message_view.h>

#include "common/origin.h"

namespace snowfox::node {
namespace {

/// As protobuf takes it: bytes that are no UTF-8 are replaced, and a text that is too long is cut.
void append(std::string& texts, std::string_view text) {
  const std::size_t begin = texts.size();
  std::size_t size = std::min(text.size(), TraceRecorder::kMaxTextBytes);
  // No half characters.
  while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  const bool valid = valid_utf8(text.substr(0, size));
  for (const char c : text.substr(0, size)) {
    texts += c == '\0' || (!valid && static_cast<unsigned char>(c) >= 0x80) ? '?' : c;
  }
  if (size < text.size()) texts += "…";
  texts.resize(std::max(texts.size(), begin) + 1, '\0');
}

void append(std::string& texts, const LogField::Value& value) {
  std::visit(
      [&texts](const auto& given) {
        if constexpr (std::is_same_v<std::decay_t<decltype(given)>, std::string_view>) {
          append(texts, given);
        } else {
          append(texts, std::string_view(fmt::to_string(given)));
        }
      },
      value);
}

/// The next of texts that each end with a zero.
std::string_view take(std::string_view& texts) {
  const std::size_t end = texts.find('\0');
  const std::string_view text = texts.substr(0, end);
  texts.remove_prefix(std::min(texts.size(), end + 1));
  return text;
}

template <typename Unit>
std::uint64_t count(auto time) {
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(std::chrono::duration_cast<Unit>(time.time_since_epoch()).count(), 0));
}

}  // namespace

TraceRecorder::TraceRecorder(LoopManager& loop, std::string_view process) : TraceRecorder(loop, process, Limits()) {}

TraceRecorder::TraceRecorder(LoopManager& loop, std::string_view process, const Limits& limits)
    : loop_(loop), process_(process), limits_(limits) {
  loop_.log().set_observer(this);
}

TraceRecorder::~TraceRecorder() { loop_.log().set_observer(nullptr); }

void TraceRecorder::write(const LogRecord& record) noexcept try {
  Line line{record.correlation_id, record.level, loop_.now(), loop_.poller().wall_now(), {}};
  append(line.texts, record.component);
  append(line.texts, record.message);
  for (const LogField& field : record.fields) {
    append(line.texts, field.name);
    append(line.texts, field.value);
  }
  const std::size_t bytes = line.bytes();
  lines_.push_back(std::move(line));
  bytes_ += bytes;
  while (lines_.size() > limits_.lines || bytes_ > limits_.bytes) {
    bytes_ -= lines_.front().bytes();
    lines_.pop_front();
  }
} catch (...) {
  // Without memory there is no line.
}

TraceResponse TraceRecorder::find(const CorrelationId& origin) const {
  std::vector<const Line*> found;
  for (const Line& line : lines_) {
    if (is_about(line.id, origin)) found.push_back(&line);
  }
  TraceResponse told;
  const auto omitted = std::max<std::ptrdiff_t>(std::ssize(found) - kMostTold, 0);
  told.set_omitted_lines(static_cast<std::uint32_t>(omitted));
  for (auto line = found.begin() + omitted; line != found.end(); ++line) add_to(told, **line);
  return told;
}

void TraceRecorder::add_to(TraceResponse& told, const Line& line) const {
  TraceLine& one = *told.add_lines();
  one.set_process(process_);
  one.set_pid(loop_.io().process_id());
  one.set_time_us(count<std::chrono::microseconds>(line.wall));
  one.set_monotonic_ns(count<std::chrono::nanoseconds>(line.at));
  one.set_level(std::string(to_string(line.level)));
  std::string_view texts = line.texts;
  one.set_component(std::string(take(texts)));
  one.set_text(std::string(take(texts)));
  while (!texts.empty()) {
    auto& field = *one.add_fields();
    field.set_name(std::string(take(texts)));
    field.set_value(std::string(take(texts)));
  }
}

}  // namespace snowfox::node
