#pragma once

#include <histedit.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "history.h"
#include "keys.h"
#include "terminal_mode.h"

namespace snowfox {

/// The line being typed on a terminal, drawn by libedit. It reads nothing itself: it is given one key at a time, and so
/// never waits.
class LineEditor {
 public:
  enum class Outcome : std::uint8_t { Edited, Entered, Interrupted, Ended, CompletionAsked };

  /// `history` must outlive it. `max_characters` is how many can be typed. Throws std::system_error if there is no
  /// terminal at `input` and `output`.
  LineEditor(int input, int output, const LineHistory& history, std::string prompt, std::size_t max_characters);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// Whether the prompt is there. While it is not, the terminal is as it was found.
  bool shown() const noexcept { return shown_; }
  void show();
  /// How many bytes were waiting to be read when it was last shown. They were typed while the terminal was not ours: in
  /// them a NUL is what the terminal has made of Ctrl-D.
  std::size_t typed_ahead_bytes() const noexcept { return typed_ahead_bytes_; }
  char end_of_file_character() const noexcept { return static_cast<char>(mode_.original().c_cc[VEOF]); }
  /// Takes the prompt away; show() brings back what was typed.
  void hide();

  /// `key` was pressed; the terminal sent `bytes` for it. Must be shown. After Entered, Interrupted and Ended it is no
  /// longer.
  Outcome press(const Key& key, std::string_view bytes);

  /// The line, as UTF-8: after Entered the one that was entered.
  const std::string& line() const noexcept { return line_; }
  /// As much of it as is before the cursor.
  std::string before_cursor() const;
  /// Replaces the last `bytes` before the cursor by `text`.
  void replace_before_cursor(std::size_t bytes, std::string_view text);

  /// Above the line, or where the cursor is if it is not shown.
  void print(std::string_view text);
  void set_prompt(std::string prompt);
  void beep();
  int columns() const noexcept;

  TerminalMode& mode() noexcept { return mode_; }
  void take_changes();

 private:
  struct Search {
    std::string pattern;
    std::string before;  // what was typed before it began
    std::size_t skip = 0;
    bool failed = false;
  };
  struct EndEditing {
    void operator()(EditLine* editor) const noexcept { el_end(editor); }
  };
  struct CloseFile {
    void operator()(FILE* file) const noexcept { fclose(file); }
  };
  using File = std::unique_ptr<FILE, CloseFile>;

  static char* prompt_of(EditLine* editor) noexcept;
  static int next_character(EditLine* editor, wchar_t* character) noexcept;

  bool is_control(std::string_view bytes, int control) const noexcept;
  bool search(const Key& key, std::string_view bytes);
  void find();
  void give(std::string_view bytes);
  void command(std::string_view bytes);
  void redraw();
  bool overflows_screen() const noexcept;
  void leave();
  void suspend(int signal);
  void set_line(std::string_view text);
  std::string text() const;
  std::size_t characters() const noexcept;

  TerminalMode mode_;
  File input_;
  File output_;
  std::unique_ptr<EditLine, EndEditing> editor_;
  const LineHistory& history_;
  std::string prompt_;
  std::string drawn_prompt_;  // what libedit was given last
  std::size_t max_characters_;
  bool shown_ = false;
  std::size_t typed_ahead_bytes_ = 0;
  std::string line_;
  std::string kept_;   // typed before hide()
  std::string above_;  // to be printed at the next redraw
  std::string fed_;    // what libedit has still to read of a command
  std::optional<Search> search_;
};

}  // namespace snowfox
