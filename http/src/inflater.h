#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "refusal.h"
#include "request_parser.h"

struct z_stream_s;

namespace snowfox {

/// Undoes `Content-Encoding: gzip` or `deflate`, the latter with a zlib header or without: both are sent. Stops while
/// inflating, not after, when more comes out than is wanted. For one body after the other.
class Inflater {
 public:
  /// Throws std::bad_alloc.
  Inflater();
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// A new body, of which at most `most` bytes may come out.
  void begin(RequestFacts::Coding coding, std::uint64_t most) noexcept;
  /// Adds to `out` what comes out of `in`, the next piece of the body.
  Refusal inflate(std::string_view in, std::string& out);
  /// Nothing more comes in: whether it may end here.
  Refusal end();

 private:
  enum class State : std::uint8_t { Fresh, Inside, Between };  // of a gzip body's parts, of which there may be several
  Refusal run(std::string_view in, std::string& out);
  void start(std::string_view front) noexcept;

  std::unique_ptr<z_stream_s> stream_;
  RequestFacts::Coding coding_ = RequestFacts::Coding::Gzip;
  State state_ = State::Fresh;
  std::uint64_t left_ = 0;
  std::uint64_t most_ = 0;
  // Whether deflate has a zlib header is told by two bytes.
  std::array<char, 2> front_{};
  std::size_t front_bytes_ = 0;
};

}  // namespace snowfox
