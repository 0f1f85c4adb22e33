// A registration file is what it may be, or refused with a place for each problem; and no text stops its patterns.
#include <snowfox/context/yaml_reader.h>

#include <algorithm>
#include <string>
#include <vector>

#include "appservice/registration.h"
#include "fuzz.h"
#include "problems.h"

using namespace snowfox;
using namespace snowfox::appservice;

namespace {

bool visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

void check(const Registration& registration) {
  demand(!registration.id.empty() && registration.id.find('|') == std::string::npos, "an id is none");
  demand(!registration.as_token.empty() && visible(registration.as_token), "a token is none");
  demand(!registration.hs_token.empty() && visible(registration.hs_token), "a token is none");
  demand(!registration.sender_localpart.empty() && visible(registration.sender_localpart), "a user is none");
  if (registration.url) {
    demand(visible(*registration.url) && !registration.url->ends_with('/'), "a URL is none");
    demand(registration.url->find_first_of("@?#") > registration.url->find('/', 8), "a URL has more than it may");
  }
  const std::string texts[] = {"@irc_nick:example.org", "", std::string(64, 'a') + "!", "@\xc3\xa4:\xe6\x97\xa5",
                               "\xff"};
  for (const Namespace* entries : {&registration.users, &registration.aliases, &registration.rooms}) {
    for (const NamespaceEntry& entry : *entries) {
      for (const std::string& text : texts) {
        const Match match = entry.pattern.match(text);
        demand(match != Match::Yes || text.starts_with(entry.pattern.literal_prefix()),
               "a text matches that does not begin as it must");
        demand(match != Match::Yes || text != "\xff", "what is no text matches");
      }
    }
  }
}

constexpr std::string_view kToken = "hunter2";

/// Whether this stands nowhere but where a token does: elsewhere it may be told.
bool only_in_tokens(std::string_view text) {
  constexpr std::string_view kBefore = "\nas_token: ";
  for (std::size_t at = text.find(kToken); at != text.npos; at = text.find(kToken, at + 1)) {
    if (!text.substr(0, at).ends_with(kBefore)) return false;
  }
  return true;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string name = "irc.yaml";
  try {
    Registration registration;
    std::vector<ConfigurationProblem> notes;
    YamlReader::parse(text, name, {.ignore_unknown_keys = true})
        .read(registration, [&](const YamlValue& root, auto& to) {
          root.mapping([&](YamlMapping& yaml) { read_registration(yaml, to, &notes); });
        });
    check(registration);
    for (const ConfigurationProblem& note : notes)
      demand(note.place.file == name && note.place.line >= 1, "a note stands nowhere");
  } catch (const ConfigurationError& error) {
    // What is missing from an empty file is missing nowhere in particular.
    const bool nowhere = std::all_of(error.problems().begin(), error.problems().end(),
                                     [](const ConfigurationProblem& problem) { return problem.place.line == 0; });
    if (!nowhere) check_problems(error, text, name);
    demand(!only_in_tokens(text) || std::string_view(error.what()).find(kToken) == std::string_view::npos,
           "a token is shown");
  }
  return 0;
}
