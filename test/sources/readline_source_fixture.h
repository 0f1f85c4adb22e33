#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/readline_source.h>

#include "support/pseudo_terminal.h"
#include "support/run_until.h"

namespace snowfox {

class ReadlineSourceTest : public testing::Test {
 protected:
  ReadlineSourceTest() { setenv("TERM", "vt100", 1); }

  ReadlineOptions options() {
    ReadlineOptions options;
    options.input = options.output = terminal_.fd();
    return options;
  }
  ReadlineHandlers handlers() {
    return {.line = [this](const std::string& line) { lines_.push_back(line); },
            .end = [this] { ++ends_; },
            .interrupt = [this] { ++interrupts_; },
            .too_long = [this] { ++too_long_; }};
  }
  void start() { start(options()); }
  void start(ReadlineOptions options) {
    source_.emplace(loop_, std::move(options), handlers());
    settle();
  }
  /// Lets the loop handle all that was typed.
  void settle() { loop_.run_for(Duration::zero()); }
  void type(std::string_view keys) {
    terminal_.type(keys);
    settle();
  }
  std::vector<std::string> rows() { return terminal_.screen().rows(); }

  PseudoTerminal terminal_;
  LoopManager loop_;
  std::vector<std::string> lines_;
  int ends_ = 0;
  int interrupts_ = 0;
  int too_long_ = 0;
  std::optional<ReadlineSource> source_;
};

}  // namespace snowfox
