#include "line_editor.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cwchar>
#include <system_error>
#include <utility>

namespace snowfox {
namespace {

/// libedit converts by the thread's locale. Terminals speak UTF-8, whatever the program's language.
class Utf8Locale {
 public:
  Utf8Locale() noexcept : before_(uselocale(utf8())) {}
  ~Utf8Locale() { uselocale(before_); }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  static locale_t utf8() noexcept {
    static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", static_cast<locale_t>(nullptr));
    return locale;  // null where there is none: then the locale stays as it is
  }
  locale_t before_;
};

FILE* open_copy(int fd, const char* mode) {
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  FILE* file = copy < 0 ? nullptr : fdopen(copy, mode);
  if (file == nullptr) throw std::system_error(errno, std::system_category(), "use a terminal");
  return file;
}

bool is_text(const Key& key) {
  return !key.command.empty() && static_cast<unsigned char>(key.command[0]) >= 0x20 && key.command[0] != '\x7f';
}

void drop_last_character(std::string& text) {
  while (!text.empty()) {
    const bool continuation = (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80;
    text.pop_back();
    if (!continuation) return;
  }
}

constexpr std::string_view kEnd = "\x05";     // Ctrl-E
constexpr std::string_view kGiveUp = "\x07";  // Ctrl-G
constexpr std::string_view kSearch = "\x12";  // Ctrl-R

}  // namespace

LineEditor::LineEditor(int input, int output, const LineHistory& lines, std::string prompt, std::size_t max_characters)
    : mode_(input),
      input_(open_copy(input, "r")),
      output_(open_copy(output, "w")),
      history_(lines),
      prompt_(std::move(prompt)),
      max_characters_(max_characters) {
  const Utf8Locale utf8;
  editor_.reset(el_init("snowfox", input_.get(), output_.get(), output_.get()));
  if (!editor_) throw std::system_error(ENOMEM, std::system_category(), "use a terminal");
  EditLine* editor = editor_.get();
  el_set(editor, EL_CLIENTDATA, this);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_SIGNAL, 0);
  el_set(editor, EL_PROMPT, prompt_of);
  el_set(editor, EL_GETCFN, next_character);
  el_set(editor, EL_HIST, history, history_.libedit());
  // Ctrl-C, Ctrl-Z and Ctrl-\ come as keys; Ctrl-S must not stop the output, for we would wait for Ctrl-Q.
  el_set(editor, EL_SETTY, "-d", "-isig", "-ixon", nullptr);
  const char redraw_key[] = {keys::kRedraw, '\0'};
  const char delete_key[] = {keys::kDelete, '\0'};
  el_set(editor, EL_BIND, redraw_key, "ed-redisplay", nullptr);
  el_set(editor, EL_BIND, delete_key, "ed-delete-next-char", nullptr);
}

LineEditor::~LineEditor() {
  hide();
  const Utf8Locale utf8;
  // libedit would throw away what was typed ahead; TerminalMode restores the terminal without.
  el_set(editor_.get(), EL_EDITMODE, 0);
  editor_.reset();
}

void LineEditor::show() {
  assert(!shown_);
  const Utf8Locale utf8;
  mode_.set_editing(true);
  shown_ = true;
  el_set(editor_.get(), EL_UNBUFFERED, 1);
  int waiting = 0;
  typed_ahead_bytes_ = ioctl(fileno(input_.get()), FIONREAD, &waiting) == 0 ? static_cast<std::size_t>(waiting) : 0;
  if (!kept_.empty()) {
    set_line(std::exchange(kept_, {}));
    redraw();
  }
}

void LineEditor::hide() {
  if (!shown_) return;
  const Utf8Locale utf8;
  kept_ = search_ ? search_->before : text();
  search_.reset();
  set_line({});
  const std::string prompt = std::exchange(prompt_, {});
  redraw();
  prompt_ = prompt;
  leave();
}

void LineEditor::leave() {
  shown_ = false;
  el_set(editor_.get(), EL_UNBUFFERED, 0);
  mode_.set_editing(false);
  tcsetattr(fileno(input_.get()), TCSADRAIN, &mode_.original());
}

LineEditor::Outcome LineEditor::press(const Key& key, std::string_view bytes) {
  assert(shown_);
  const Utf8Locale utf8;
  if (search_ && search(key, bytes)) return Outcome::Edited;

  if (bytes == "\r" || bytes == "\n") {
    line_ = text();
    give(bytes);
    leave();
    return Outcome::Entered;
  }
  if (is_control(bytes, VINTR)) {
    command(kEnd);
    fputs("^C\n", output_.get());
    fflush(output_.get());
    leave();
    return Outcome::Interrupted;
  }
  if (is_control(bytes, VEOF) && characters() == 0) {
    fputs("\n", output_.get());
    fflush(output_.get());
    leave();
    return Outcome::Ended;
  }
  if (is_control(bytes, VSUSP)) {
    suspend(SIGTSTP);
  } else if (is_control(bytes, VQUIT)) {
    suspend(SIGQUIT);
  } else if (bytes == "\t") {
    return Outcome::CompletionAsked;
  } else if (bytes == kSearch) {
    search_ = Search{{}, text()};
    redraw();
  } else if (is_text(key) && characters() >= max_characters_) {
    beep();
  } else if (is_text(key)) {
    give(key.command);
  } else if (!key.command.empty()) {
    command(key.command);
  }
  return Outcome::Edited;
}

bool LineEditor::is_control(std::string_view bytes, int control) const noexcept {
  const cc_t character = mode_.original().c_cc[control];
  return character != _POSIX_VDISABLE && bytes.size() == 1 && static_cast<cc_t>(bytes[0]) == character;
}

// libedit's own search waits for keys.
bool LineEditor::search(const Key& key, std::string_view bytes) {
  if (bytes == kSearch) {
    ++search_->skip;
  } else if (bytes == kGiveUp || is_control(bytes, VINTR)) {
    set_line(search_->before);
    search_.reset();
    redraw();
    return true;
  } else if (bytes == "\x7f" || bytes == "\b" || is_control(bytes, VERASE)) {
    drop_last_character(search_->pattern);
    search_->skip = 0;
  } else if (is_text(key)) {
    search_->pattern += key.command;
    search_->skip = 0;
  } else {
    search_.reset();
    redraw();
    return false;
  }
  find();
  return true;
}

void LineEditor::find() {
  std::optional<std::string> found = search_->before;
  if (!search_->pattern.empty()) found = history_.find(search_->pattern, search_->skip);
  search_->failed = !found;
  if (found) {
    set_line(*found);
  } else if (search_->skip != 0) {
    --search_->skip;
  }
  redraw();
}

void LineEditor::suspend(int signal) {
  // As the terminal would: for all that was started with us, if it is our terminal.
  if (tcgetpgrp(fileno(input_.get())) != getpgrp()) return;
  hide();
  kill(0, signal);
  show();
  mode_.take_changes();
}

std::string LineEditor::before_cursor() const {
  const Utf8Locale utf8;
  const LineInfo* info = el_line(editor_.get());
  return {info->buffer, info->cursor};
}

void LineEditor::replace_before_cursor(std::size_t bytes, std::string_view text) {
  const Utf8Locale utf8;
  std::string replaced = before_cursor();
  replaced.erase(0, replaced.size() - std::min(bytes, replaced.size()));
  int count = 0;
  for (; !replaced.empty(); ++count) drop_last_character(replaced);
  el_deletestr(editor_.get(), count);
  if (!text.empty()) el_insertstr(editor_.get(), std::string(text).c_str());
  redraw();
}

void LineEditor::print(std::string_view text) {
  const Utf8Locale utf8;
  above_ = text;
  if (!above_.ends_with('\n')) above_ += '\n';
  if (shown_) {
    redraw();
  } else {
    fwrite(above_.data(), 1, above_.size(), output_.get());
    fflush(output_.get());
    above_.clear();
  }
}

void LineEditor::set_prompt(std::string prompt) {
  const Utf8Locale utf8;
  prompt_ = std::move(prompt);
  if (shown_) redraw();
}

void LineEditor::beep() {
  fputc('\a', output_.get());
  fflush(output_.get());
}

int LineEditor::columns() const noexcept {
  winsize size{};
  return ioctl(fileno(output_.get()), TIOCGWINSZ, &size) == 0 && size.ws_col != 0 ? size.ws_col : 80;
}

void LineEditor::take_changes() {
  const Utf8Locale utf8;
  const TerminalMode::Changes changes = mode_.take_changes();
  if (!shown_ || (!changes.continued && !changes.resized)) return;
  el_resize(editor_.get());
  if (changes.continued) {
    // Whoever had the terminal meanwhile may have changed its mode and has written to it.
    el_set(editor_.get(), EL_PREP_TERM, 0);
    el_set(editor_.get(), EL_PREP_TERM, 1);
    fputs("\r", output_.get());
    el_set(editor_.get(), EL_REFRESH);
  } else {
    redraw();
  }
}

// Between clearing the line and drawing it again libedit asks for the prompt: then the cursor is where the line began,
// and what is to come above it can be printed.
char* LineEditor::prompt_of(EditLine* editor) noexcept {
  LineEditor* self = nullptr;
  el_get(editor, EL_CLIENTDATA, &self);
  fwrite(self->above_.data(), 1, self->above_.size(), self->output_.get());
  self->above_.clear();
  self->drawn_prompt_ = self->prompt_;
  if (self->search_) {
    self->drawn_prompt_ = self->search_->failed ? "(failed search)`" : "(search)`";
    self->drawn_prompt_ += self->search_->pattern + "': ";
  }
  return self->drawn_prompt_.data();
}

/// 1 and a character, or 0 if the command has no more.
int LineEditor::next_character(EditLine* editor, wchar_t* character) noexcept {
  LineEditor* self = nullptr;
  el_get(editor, EL_CLIENTDATA, &self);
  std::mbstate_t state{};
  const std::size_t size = std::mbrtowc(character, self->fed_.data(), self->fed_.size(), &state);
  if (size == 0 || size > self->fed_.size()) {
    self->fed_.clear();
    return 0;
  }
  self->fed_.erase(0, size);
  return 1;
}

void LineEditor::give(std::string_view bytes) {
  fed_ = bytes;
  int count = 0;
  el_gets(editor_.get(), &count);
  fed_.clear();
}

void LineEditor::command(std::string_view bytes) {
  give(bytes);
  // When the cursor moves in a line longer than the screen, libedit loses its row, and later writes beyond its last
  // one. Drawing it all anew puts that right.
  if (shown_ && overflows_screen()) redraw();
}

void LineEditor::redraw() { give(std::string_view(&keys::kRedraw, 1)); }

bool LineEditor::overflows_screen() const noexcept {
  constexpr std::size_t kWidest = 8;  // a tab, or a character that is shown by its number
  winsize size{};
  if (ioctl(fileno(output_.get()), TIOCGWINSZ, &size) != 0) return true;
  const std::size_t cells = std::size_t{size.ws_row} * size.ws_col;
  const LineInfoW* line = el_wline(editor_.get());
  const std::size_t prompt = drawn_prompt_.size() + size.ws_col;
  if (prompt + characters() * kWidest < cells) return false;
  std::size_t width = prompt;
  for (const wchar_t* at = line->buffer; at != line->lastchar; ++at) {
    const int columns = wcwidth(*at);
    width += columns > 0 ? static_cast<std::size_t>(columns) : kWidest;
  }
  return width >= cells;
}

void LineEditor::set_line(std::string_view text) {
  const LineInfoW* line = el_wline(editor_.get());
  const auto size = static_cast<int>(line->lastchar - line->buffer);
  el_cursor(editor_.get(), size);  // stops at the end
  el_deletestr(editor_.get(), size);
  if (!text.empty()) el_insertstr(editor_.get(), std::string(text).c_str());
}

std::string LineEditor::text() const {
  const LineInfo* info = el_line(editor_.get());
  return {info->buffer, info->lastchar};
}

std::size_t LineEditor::characters() const noexcept {
  const LineInfoW* line = el_wline(editor_.get());
  return static_cast<std::size_t>(line->lastchar - line->buffer);
}

}  // namespace snowfox
