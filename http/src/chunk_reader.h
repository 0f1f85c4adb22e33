#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "refusal.h"

namespace snowfox {

/// Takes a body in chunks apart (RFC 9112, 7.1), however its bytes come, and reads nothing into it: each line ends in
/// CRLF, a size is hexadecimal digits and nothing else, extensions and trailer are checked and forgotten. There are no
/// spaces around an extension's `;` and `=`, which only a recipient that guesses would need.
class ChunkReader {
 public:
  /// Of a size's extensions.
  static constexpr std::size_t kLongestExtensions = 256;

  /// The chunks' data may be `most_body_bytes` in all, the trailer `most_trailer_bytes`.
  ChunkReader(std::uint64_t most_body_bytes, std::size_t most_trailer_bytes) noexcept
      : most_(most_body_bytes), trailer_left_(most_trailer_bytes) {}

  /// Adds what is in chunks to `body`. Gives how many of `bytes` it has read: all of them unless the body is done(), or
  /// refused.
  std::size_t read(std::string_view bytes, std::string& body, Refusal& refusal);
  /// The last chunk and all that belongs to it was read.
  bool done() const noexcept { return state_ == State::Done; }

 private:
  enum class State : std::uint8_t {
    Size,
    ExtensionName,
    ExtensionValue,
    ExtensionQuoted,
    ExtensionEnd,
    SizeEnd,
    Data,
    DataCr,
    DataEnd,
    TrailerBegin,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    End,
    Done
  };
  /// What is wrong with the next byte; null if nothing is.
  const char* take(char c, Refusal& refusal);
  const char* take_size(char c, Refusal& refusal);
  const char* take_extension(char c) noexcept;
  const char* take_trailer(char c, Refusal& refusal);
  const char* expect(char c, char wanted, State then) noexcept;
  Refusal too_long() const;

  State state_ = State::Size;
  bool begun_ = false;  // the extension's name, or value
  bool escaped_ = false;
  std::uint8_t digits_ = 0;
  std::uint16_t extensions_ = 0;
  std::uint64_t left_ = 0;  // of the chunk
  std::uint64_t received_ = 0;
  std::uint64_t most_;
  std::size_t trailer_left_;
};

}  // namespace snowfox
