#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace snowfox::appservice {

/// Tells fast what is JSON. What it does not take may be JSON, too: numbers beyond 64 bits are not for it. It keeps its
/// memory from one text to the next, some megabytes after a text of 256 KiB.
class JsonCheck {
 public:
  JsonCheck();
  ~JsonCheck();
  JsonCheck(const JsonCheck&) = delete;
  JsonCheck& operator=(const JsonCheck&) = delete;

  /// False: it is none, has lists and objects `most_depth` or deeper in one another, or somebody slower must say.
  bool passes(std::string_view text, std::size_t most_depth);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace snowfox::appservice
