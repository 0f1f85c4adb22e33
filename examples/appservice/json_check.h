#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace snowfox::appservice {

/// Tells fast what is JSON. What it does not take may be JSON, too: numbers beyond 64 bits are not for it.
class JsonCheck {
 public:
  /// Of lists and objects in one another.
  explicit JsonCheck(std::size_t most_depth);
  JsonCheck(JsonCheck&&) noexcept;
  JsonCheck& operator=(JsonCheck&&) noexcept;
  ~JsonCheck();

  /// False: it is none, has `most_depth` or more, or somebody slower must say.
  bool passes(std::string_view text);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace snowfox::appservice
