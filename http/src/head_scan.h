#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "refusal.h"

namespace snowfox {

struct HttpOptions;

/// Looks for the end of a request's head as its bytes come in, and refuses what no head may have, whoever reads it
/// afterwards: a line that does not end in CRLF, one that is folded, one that is too long.
struct HeadScan {
  /// How many bytes the head has that begins at the front of `text`, which begins as it did in the calls before; 0 if
  /// its end is not there yet, or it is refused. What is found does not depend on how much of it is there at a time.
  std::size_t look(std::string_view text, const HttpOptions& options, Refusal& refusal);

  std::uint32_t line_begin = 0;  ///< of the first line whose end is not there yet
  std::uint32_t lines = 0;       ///< before that
};

}  // namespace snowfox
