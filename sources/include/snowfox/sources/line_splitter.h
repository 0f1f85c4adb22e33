#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace snowfox {

/// A line of text, without its newline.
struct TextLine {
  std::string text;
  bool cut = false;  ///< it was longer than the limit: this is its beginning, the rest was dropped
};

/// Cuts a stream of bytes into lines, holding no more than one line of `max_line_bytes` and what was appended last.
class LineSplitter {
 public:
  explicit LineSplitter(std::size_t max_line_bytes) : max_line_bytes_(max_line_bytes) {}

  /// Sees to it that the next append() of so many bytes needs no memory.
  void reserve(std::size_t bytes);
  void append(std::span<const std::byte> bytes);
  /// The next line that is complete, or already too long.
  std::optional<TextLine> next();
  /// After the end of the stream: what came after the last newline, if anything.
  std::optional<TextLine> rest();

 private:
  const std::size_t max_line_bytes_;
  std::string buffer_;
  std::size_t begin_ = 0;     // of the line
  std::size_t searched_ = 0;  // no newline before this
  bool skipping_ = false;     // the rest of a line that was cut
};

}  // namespace snowfox
