// Durations on command lines.
#include <stdexcept>
#include <string>

#include "common/duration.h"
#include "fuzz.h"

using namespace snowfox;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.find('\0') != text.npos) return 0;  // on no command line
  try {
    const Duration time = node::parse_duration(text);
    demand(time >= Duration::zero() && time <= std::chrono::hours(24 * 366), "a duration is outside of its bounds");
    demand(text.find_first_of("+-. ") == text.npos, "a duration is more than a number and a unit");
    demand(node::parse_duration(node::to_text(time)) == time, "a duration is another when written and read again");
  } catch (const std::invalid_argument& error) {
    demand(std::string_view(error.what()).find("is no duration") != std::string_view::npos, "a refusal has no reason");
  }
  return 0;
}
