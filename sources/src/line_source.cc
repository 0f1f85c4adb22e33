#include <snowfox/sources/line_source.h>

#include <array>
#include <cerrno>
#include <span>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>

namespace snowfox {
namespace {

constexpr std::size_t kReadBytes = 16U << 10;

}  // namespace

LineSource::LineSource(LoopManager& loop, Descriptor descriptor, OnLine on_line, OnEnd on_end,
                       std::size_t max_line_bytes)
    : EventSource(loop),
      on_line_(std::make_shared<const OnLine>(std::move(on_line))),
      on_end_(std::make_shared<const OnEnd>(std::move(on_end))),
      splitter_(max_line_bytes),
      channel_(Channel::make(loop, std::move(descriptor))) {
  channel_->set_source(this);
  if (!channel_->watch_read(true)) throw std::system_error(EIO, std::system_category(), "watch a descriptor for lines");
}

EventRef LineSource::parse() {
  for (;;) {
    if (auto line = splitter_.next()) return std::make_unique<LineReceived>(on_line_, *std::move(line));
    if (end_) {
      if (auto line = splitter_.rest()) return std::make_unique<LineReceived>(on_line_, *std::move(line));
      EventRef ended = std::make_unique<LinesEnded>(on_end_, *end_);
      loop().remove(id());
      return ended;
    }
    splitter_.reserve(kReadBytes);  // a line of which a piece is missing would be another line
    std::array<std::byte, kReadBytes> bytes;
    const ssize_t size = channel_->io().read(channel_->fd(), bytes);
    if (size > 0) splitter_.append(std::span(bytes).first(static_cast<std::size_t>(size)));
    if (size == -EAGAIN) return nullptr;
    if (size <= 0) {
      end_ = size == 0 ? make_error_code(Errc::EndOfStream)
                       : std::error_code(static_cast<int>(-size), std::system_category());
    }
  }
}

void LineSource::on_pause_changed() noexcept {
  if (channel_) channel_->watch_read(!paused());
}

std::string LineSource::name() const { return "lines of descriptor " + std::to_string(fd()); }

}  // namespace snowfox
