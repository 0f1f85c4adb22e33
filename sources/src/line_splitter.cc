#include <snowfox/sources/line_splitter.h>

namespace snowfox {

void LineSplitter::reserve(std::size_t bytes) {
  buffer_.erase(0, begin_);
  searched_ -= begin_;
  begin_ = 0;
  buffer_.reserve(buffer_.size() + bytes);
}

void LineSplitter::append(std::span<const std::byte> bytes) {
  reserve(bytes.size());
  buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::optional<TextLine> LineSplitter::next() {
  for (;;) {
    const std::size_t newline = buffer_.find('\n', searched_);
    const bool whole = newline != std::string::npos;
    const std::size_t end = whole ? newline : buffer_.size();
    searched_ = whole ? end + 1 : end;
    if (skipping_) {
      begin_ = searched_;
      if (!whole) return std::nullopt;
      skipping_ = false;
      continue;
    }
    const bool cut = end - begin_ > max_line_bytes_;
    if (!whole && !cut) return std::nullopt;
    TextLine line{buffer_.substr(begin_, cut ? max_line_bytes_ : end - begin_), cut};
    begin_ = searched_;
    skipping_ = !whole;
    return line;
  }
}

std::optional<TextLine> LineSplitter::rest() {
  if (skipping_ || begin_ == buffer_.size()) return std::nullopt;
  TextLine line{buffer_.substr(begin_), false};
  begin_ = searched_ = buffer_.size();
  return line;
}

}  // namespace snowfox
