#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/readline_source.h>

#include "client/call_runner.h"
#include "client/node_client.h"

namespace snowfox::node {

/// Reads calls from standard input. On a terminal there is a prompt: mistakes are told and forgotten, a lost connection
/// is made again. Otherwise the input is a script, which its first mistake ends. At the end all answers are awaited.
class Shell {
 public:
  struct Options {
    bool json = false;
    Duration timeout{};
  };
  /// Is called with the exit code.
  using OnEnd = std::function<void(int)>;

  /// `client` must be connected, and outlive it.
  Shell(LoopManager& loop, NodeClient& client, Options options, OnEnd on_end);

  /// To be called when the client's connection is lost.
  void lost(std::error_code reason);

 private:
  void read(const std::string& line);
  void interpret(const std::string& line);
  /// What is watched is waited for if `to_the_end`.
  void end(int exit_code, bool to_the_end = false);
  void reconnect(Duration wait);
  void show(const std::string& text);
  void show_failure(const std::string& text);
  ReadlineOptions readline_options();
  ReadlineHandlers readline_handlers();

  LoopManager& loop_;
  NodeClient& client_;
  OnEnd on_end_;
  CallRunner runner_;
  ReadlineSource input_;
  std::size_t line_number_ = 0;
  bool ended_ = false;
};

}  // namespace snowfox::node
