#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/core/event.h>
#include <snowfox/core/event_source.h>

namespace snowfox {

/// What happens when somebody types. One that is empty does what is said here.
struct ReadlineHandlers {
  /// A line was entered, without its newline.
  std::function<void(const std::string& line)> line;
  /// There is no more input: Ctrl-D at an empty prompt, after which one may go on typing if the loop goes on; otherwise
  /// the end of the file, and the last event. Empty: ends the loop by CleanExit.
  std::function<void()> end = {};
  /// Ctrl-C at the prompt: the line typed so far is dropped. Empty: that is all.
  std::function<void()> interrupt = {};
  /// A line was longer than ReadlineOptions::max_line_bytes and is dropped. Empty: says so in the log.
  std::function<void()> too_long = {};
};

struct ReadlineOptions {
  /// One line of printable text.
  std::string prompt = "> ";

  /// What Tab may make of `word`: whole words, with a space at the end if one is to follow. `line` is what is before
  /// the cursor, `word` what follows the last of `word_breaks` in it. One candidate replaces the word; of several, what
  /// they have in common; if that is no more than is there, they are listed. Empty: Tab only beeps.
  std::function<std::vector<std::string>(std::string_view word, std::string_view line)> complete = {};
  std::string word_breaks = " \t\"'`;|&<>=(){}[],+*/";

  /// Where lines are kept for the next time, one a line, with mode 0600. Empty: only for this time. A line that begins
  /// with a space is not kept, nor one equal to the one before.
  std::string history_file = {};
  std::size_t history_lines = 1000;

  /// On a terminal, in characters: no more can be typed.
  std::size_t max_line_bytes = 64U << 10;

  int input = 0;   ///< read from; borrowed, and never made non-blocking
  int output = 1;  ///< written to; borrowed
};

/// Lines that somebody types, or that a file or a pipe brings.
///
///     ReadlineSource shell(loop, {.prompt = "fox> "}, {.line = [&](const std::string& line) { run(line); }});
///
/// If input and output are terminals there is a prompt, with editing, history (Up, Down, Ctrl-R) and completion (Tab),
/// whatever the language settings in UTF-8. The prompt comes when the loop has handled the line before, and is not
/// there while the source is paused: so pause() it while an answer is awaited that must come before the next prompt.
/// While the prompt is there Ctrl-C is an event; otherwise it is SIGINT, and the terminal is as it was before. It is
/// so, too, when the loop has ended, when the source is destroyed, when the program calls exit(), and while it is
/// stopped by Ctrl-Z.
///
/// Otherwise it reads lines without prompt or echo; a last line without newline counts.
///
/// One may exist at a time, as there is one terminal. While one edits, SIGWINCH, SIGCONT and SIGTSTP are handled here.
class ReadlineSource final : public EventSource {
 public:
  /// `handlers.line` must not be empty. Throws std::system_error if another ReadlineSource exists or the input cannot
  /// be watched. A history that cannot be read or written is only a warning in the log.
  ReadlineSource(LoopManager& loop, ReadlineOptions options, ReadlineHandlers handlers);
  ~ReadlineSource() override;

  /// Whether there is a prompt: input and output are terminals.
  bool interactive() const noexcept;

  /// Writes `text` to the output, and a newline if it does not end in one; on a terminal above the line being typed,
  /// which stays as it is. For what comes of itself, such as an answer or a log line.
  void print_above(std::string_view text);
  /// From the next prompt on, and for the one that is there.
  void set_prompt(std::string prompt);

  EventRef parse() override;
  int fd() const noexcept override;
  std::string name() const override;

 private:
  class LineEntered;
  class LineTooLong;
  class InputInterrupted;
  class InputEnded;
  class CompletionAsked;
  struct Parts;

  EventRef parse_keys();
  EventRef parse_lines();
  EventRef end();
  bool read_input();
  void complete();
  void on_pause_changed() noexcept override;
  void on_removed() noexcept override;
  void on_stopping() noexcept override;

  std::unique_ptr<Parts> parts_;
};

}  // namespace snowfox
