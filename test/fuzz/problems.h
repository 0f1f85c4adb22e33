#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include <snowfox/context/configuration_error.h>

#include "fuzz.h"
#include "support/json.h"

namespace snowfox {

/// What holds for whatever is wrong with `text`, which was read as the file `name`.
inline void check_problems(const ConfigurationError& error, std::string_view text, std::string_view name) {
  const auto line_ends = [](char c) { return c == '\n' || c == '\r'; };
  const auto lines = static_cast<std::size_t>(std::count_if(text.begin(), text.end(), line_ends)) + 1;
  demand(!error.problems().empty(), "a configuration is refused without a reason");
  demand(error.problems().size() <= ConfigurationError::kMaxProblems, "more problems are told than there should be");
  for (const ConfigurationProblem& problem : error.problems()) {
    demand(problem.place.file == name, "a problem is not in the file that was read");
    demand(problem.place.line >= 1 && problem.place.line <= lines, "a problem is in no line of the file");
    demand(problem.place.column >= 1 && problem.place.column <= text.size() + 1, "a problem is in no column of a line");
    demand(!problem.message.empty(), "a problem says nothing");
    demand(harmless(problem.str()) && is_utf8(problem.str()), "a problem is not one line of text");
  }
  demand(std::string_view(error.what()).starts_with(error.problems().front().str()),
         "what is told does not begin with the first problem");
}

}  // namespace snowfox
