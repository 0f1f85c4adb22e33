#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <snowfox/core/channel.h>
#include <snowfox/core/event.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/io.h>
#include <snowfox/sources/line_splitter.h>

namespace snowfox {

/// A line was read.
class LineReceived final : public Event {
 public:
  using Handler = std::function<void(const TextLine& line)>;
  LineReceived(std::shared_ptr<const Handler> handler, TextLine line)
      : handler_(std::move(handler)), line_(std::move(line)) {}
  void handle() override { (*handler_)(line_); }
  std::string_view name() const noexcept override { return "LineReceived"; }
  const TextLine& line() const noexcept { return line_; }

 private:
  std::shared_ptr<const Handler> handler_;
  TextLine line_;
};

/// There are no more lines.
class LinesEnded final : public Event {
 public:
  using Handler = std::function<void(std::error_code reason)>;
  LinesEnded(std::shared_ptr<const Handler> handler, std::error_code reason)
      : handler_(std::move(handler)), reason_(reason) {}
  void handle() override {
    if (*handler_) (*handler_)(reason_);
  }
  std::string_view name() const noexcept override { return "LinesEnded"; }

 private:
  std::shared_ptr<const Handler> handler_;
  std::error_code reason_;
};

/// The lines read from a descriptor: what a child process writes, as it writes it.
///
///     LineSource lines(loop, process.take_output(), [&](const TextLine& line) { log(line.text); });
///
/// What comes after the last newline counts as a line. After the end the loop waits for this source no more.
class LineSource final : public EventSource {
 public:
  using OnLine = LineReceived::Handler;
  using OnEnd = LinesEnded::Handler;
  static constexpr std::size_t kMaxLineBytes = 64U << 10;

  /// `on_end`, which may be empty, is called once, with Errc::EndOfStream or what reading failed with.
  /// `descriptor` must be non-blocking. Throws std::system_error if it cannot be watched.
  LineSource(LoopManager& loop, Descriptor descriptor, OnLine on_line, OnEnd on_end = {},
             std::size_t max_line_bytes = kMaxLineBytes);

  EventRef parse() override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override;

 private:
  void on_pause_changed() noexcept override;
  void on_removed() noexcept override { channel_.reset(); }

  std::shared_ptr<const OnLine> on_line_;
  std::shared_ptr<const OnEnd> on_end_;
  LineSplitter splitter_;
  std::optional<std::error_code> end_;
  ChannelRef channel_;  // null once ended or removed
};

}  // namespace snowfox
