#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/readline_source.h>

#include "client/interpreter.h"

namespace snowfox::node {

/// The code of which `line`, up to the cursor, is the end: the id that is being written inside the quotes of a call
/// such as `service.start('we`, or nothing.
struct BegunId {
  bool begun = false;
  std::string_view id;
};
BegunId begun_service_id(std::string_view line);

/// Somebody at a terminal who types Lua. What is incomplete goes on in the next line; what is complete is run, and
/// until it has ended there is no prompt. Ctrl-C drops what is typed, and ends what runs in the background.
class Prompt {
 public:
  struct Handlers {
    std::function<void()> end;           ///< Ctrl-D
    std::function<void()> look_for_ids;  ///< of services, for set_services(): they may be others by now
  };
  /// `interpreter` must outlive it.
  Prompt(LoopManager& loop, Interpreter& interpreter, const std::string& node_name, Handlers handlers);

  void set_node_name(const std::string& name);
  /// What is completed inside of quotes.
  void set_services(std::vector<std::string> ids) { services_ = std::move(ids); }
  /// Above what is being typed.
  void show(const std::string& text) { input_.print_above(text); }
  /// A script begins to compute, or has ended to: meanwhile Ctrl-C is a signal.
  void computing(bool begins);
  /// Nothing is read any more.
  void close();

 private:
  void read(const std::string& line);
  void drop();
  std::vector<std::string> complete(std::string_view word, std::string_view line);
  ReadlineOptions options(const std::string& node_name);
  ReadlineHandlers readline_handlers();

  Interpreter& interpreter_;
  Handlers handlers_;
  std::string prompt_;
  std::vector<std::string> services_;
  std::string code_;  // incomplete
  bool closed_ = false;
  bool signals_ = false;  // Ctrl-C was made a signal
  ReadlineSource input_;
};

}  // namespace snowfox::node
