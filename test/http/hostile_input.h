#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace snowfox {

/// What somebody, somewhere, has sent to a server to be understood in two ways, or in none.
struct HostileInput {
  std::string name;    ///< unique, a word
  std::string source;  ///< who has told of it; docs/http-hostile-input.md says where that is found
  std::string bytes;
  /// What must come of it: the answers' status codes, without 100; the requests that reach a handler, as
  /// `METHOD TARGET` and `=BODY` if there is one.
  std::vector<int> statuses;
  std::vector<std::string> requests;
  /// What becomes of the connection. Closes: nothing that follows is a request. Stays: what follows is the next
  /// request. Waits: what follows still belongs to it.
  enum class End { Closes, Stays, Waits } end;
  const char* why = "";  ///< where it is not refused: why that is right
};

inline void PrintTo(const HostileInput& input, std::ostream* out) { *out << input.name; }

struct HostileSection {
  const char* title;
  std::vector<HostileInput> inputs;
};

/// All of them. The tests send them, docs/http-hostile-input.md lists them.
const std::vector<HostileSection>& hostile_sections();

}  // namespace snowfox
