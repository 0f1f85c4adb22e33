#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include <snowfox/core/clock.h>
#include <snowfox/core/log.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/proto_buf_source.h>

#include "common/message.h"
#include "protocol/common.pb.h"

namespace snowfox::node {

/// Remembers what this process has logged about requests: each line that has a correlation id, also those whose level
/// is not printed. When there are too many lines, or too many bytes of them, the oldest go.
class TraceRecorder final : private LogSink {
 public:
  struct Limits {
    std::size_t lines = 4096;
    std::size_t bytes = 1U << 20;
  };
  /// Of one line so much of each text is remembered.
  static constexpr std::size_t kMaxTextBytes = 1024;
  /// So many lines of one request are told at a time, the latest.
  static constexpr int kMostTold = 1000;

  /// Listens to the log of `loop`, which must outlive it. `process` is what this one is called.
  TraceRecorder(LoopManager& loop, std::string_view process);
  TraceRecorder(LoopManager& loop, std::string_view process, const Limits& limits);
  ~TraceRecorder() override;
  TraceRecorder(const TraceRecorder&) = delete;
  TraceRecorder& operator=(const TraceRecorder&) = delete;

  /// What is remembered of the request `origin` and of all that followed from it, the oldest first.
  TraceResponse find(const CorrelationId& origin) const;

  std::size_t lines() const noexcept { return lines_.size(); }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  struct Line {
    CorrelationId id;
    LogLevel level;
    TimePoint at;
    std::chrono::system_clock::time_point wall;
    std::string texts;  // the component, the message, then names and values, each ended by a zero

    std::size_t bytes() const noexcept { return sizeof(Line) + texts.capacity(); }
  };

  void write(const LogRecord& record) noexcept override;
  void add_to(TraceResponse& told, const Line& line) const;

  LoopManager& loop_;
  std::string process_;
  Limits limits_;
  std::deque<Line> lines_;
  std::size_t bytes_ = 0;
};

/// Answers a TraceRequest with what `recorder` knows.
template <typename Message>
void answer_trace(MessageEvent<Message>& request, const TraceRecorder& recorder) {
  const auto about = CorrelationId::parse(request.message().trace_request().id());
  auto answer = make_message<Message>(Message::kTraceResponse, request.correlation_id());
  *answer.mutable_trace_response() = about ? recorder.find(*about) : TraceResponse();
  request.answer(answer);
}

}  // namespace snowfox::node
