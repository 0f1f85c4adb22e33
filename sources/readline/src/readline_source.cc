#include <snowfox/sources/readline_source.h>

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <span>
#include <system_error>
#include <utility>

#include <snowfox/core/channel.h>
#include <snowfox/core/error.h>
#include <snowfox/core/io.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/line_splitter.h>

#include "history.h"
#include "keys.h"
#include "line_editor.h"

namespace snowfox {
namespace {

constexpr std::size_t kReadBytes = 4096;
constexpr std::size_t kMaxListed = 100;

std::atomic<bool> exists{false};

/// There is one terminal, and libedit and signal handlers keep some of what they know of it to themselves.
struct OnlyOne {
  OnlyOne() {
    if (exists.exchange(true)) {
      throw std::system_error(std::make_error_code(std::errc::device_or_resource_busy), "a second ReadlineSource");
    }
  }
  ~OnlyOne() { exists = false; }
  OnlyOne(const OnlyOne&) = delete;
  OnlyOne& operator=(const OnlyOne&) = delete;
};

bool can_edit(int input, int output) {
  const char* terminal = getenv("TERM");
  // In Emacs's own terminal it is Emacs that edits.
  const bool by_emacs = terminal != nullptr && std::string_view(terminal) == "emacs";
  return isatty(input) == 1 && isatty(output) == 1 && !by_emacs;
}

/// What all of `words` begin with, in whole characters.
std::string common_beginning(const std::vector<std::string>& words) {
  std::string common = words.front();
  for (const std::string& word : words) {
    const auto differ = std::mismatch(common.begin(), common.end(), word.begin(), word.end()).first;
    common.erase(differ, common.end());
  }
  const auto is_continuation = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; };
  const std::string& first = words.front();
  while (common.size() < first.size() && is_continuation(first[common.size()])) common.pop_back();
  return common;
}

/// In as many columns as fit, filled from top to bottom.
std::string in_columns(const std::vector<std::string>& words, std::size_t width) {
  const std::size_t count = std::min(words.size(), kMaxListed);
  std::size_t widest = 0;
  for (std::size_t i = 0; i < count; ++i) widest = std::max(widest, words[i].size());
  const std::size_t columns = std::max<std::size_t>(1, width / (widest + 2));
  const std::size_t rows = (count + columns - 1) / columns;
  std::string text;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t i = row; i < count; i += rows) {
      text += words[i];
      if (i + rows < count) text.append(widest + 2 - words[i].size(), ' ');
    }
    text += '\n';
  }
  if (count < words.size()) text += "and " + std::to_string(words.size() - count) + " more\n";
  return text;
}

}  // namespace

struct ReadlineSource::Parts {
  const OnlyOne only_one;
  ReadlineOptions options;
  const std::shared_ptr<const ReadlineHandlers> handlers;  // its events have it too, and may destroy the source
  LineHistory history;
  std::unique_ptr<LineEditor> editor;  // null if there is no prompt
  LineSplitter splitter;
  std::string typed;  // not yet taken as keys
  std::size_t typed_taken = 0;
  std::size_t typed_ahead_bytes = 0;  // of what is to be read next
  // Watches an epoll descriptor that watches the input: the input itself is left as it is, even for a moment. Null for
  // an input that is always ready, as a file is.
  ChannelRef channel;
  bool at_end = false;

  Parts(ReadlineOptions given, ReadlineHandlers given_handlers)
      : options(std::move(given)),
        handlers(std::make_shared<const ReadlineHandlers>(std::move(given_handlers))),
        history(options.history_file, options.history_lines),
        splitter(options.max_line_bytes) {}
};

class ReadlineSource::LineEntered final : public Event {
 public:
  LineEntered(std::shared_ptr<const ReadlineHandlers> handlers, std::string line)
      : handlers_(std::move(handlers)), line_(std::move(line)) {}
  void handle() override { handlers_->line(line_); }
  std::string_view name() const noexcept override { return "LineEntered"; }

 private:
  std::shared_ptr<const ReadlineHandlers> handlers_;
  std::string line_;
};

class ReadlineSource::LineTooLong final : public Event {
 public:
  LineTooLong(std::shared_ptr<const ReadlineHandlers> handlers, std::size_t limit)
      : handlers_(std::move(handlers)), limit_(limit) {}
  void handle() override {
    if (handlers_->too_long) return handlers_->too_long();
    loop().log().warning("readline", "a line of the input is too long", {{"limit_bytes", limit_}});
  }
  std::string_view name() const noexcept override { return "LineTooLong"; }

 private:
  std::shared_ptr<const ReadlineHandlers> handlers_;
  std::size_t limit_;
};

class ReadlineSource::InputInterrupted final : public Event {
 public:
  explicit InputInterrupted(std::shared_ptr<const ReadlineHandlers> handlers) : handlers_(std::move(handlers)) {}
  void handle() override {
    if (handlers_->interrupt) handlers_->interrupt();
  }
  std::string_view name() const noexcept override { return "InputInterrupted"; }

 private:
  std::shared_ptr<const ReadlineHandlers> handlers_;
};

class ReadlineSource::InputEnded final : public Event {
 public:
  explicit InputEnded(std::shared_ptr<const ReadlineHandlers> handlers) : handlers_(std::move(handlers)) {}
  void handle() override {
    if (!handlers_->end) throw CleanExit();
    handlers_->end();
  }
  std::string_view name() const noexcept override { return "InputEnded"; }

 private:
  std::shared_ptr<const ReadlineHandlers> handlers_;
};

/// Looking for candidates may fail as any handler may.
class ReadlineSource::CompletionAsked final : public Event {
 public:
  explicit CompletionAsked(SourceId source) : source_(source) {}
  void handle() override {
    if (auto* source = loop().fetch<ReadlineSource>(source_)) source->complete();
  }
  std::string_view name() const noexcept override { return "CompletionAsked"; }

 private:
  SourceId source_;
};

ReadlineSource::ReadlineSource(LoopManager& loop, ReadlineOptions options, ReadlineHandlers handlers)
    : EventSource(loop), parts_(std::make_unique<Parts>(std::move(options), std::move(handlers))) {
  assert(parts_->handlers->line);
  const ReadlineOptions& given = parts_->options;
  if (can_edit(given.input, given.output)) {
    if (const auto error = parts_->history.load()) {
      loop.log().warning("readline", "history not read", {{"file", given.history_file}, {"error", error.message()}});
    }
    parts_->editor =
        std::make_unique<LineEditor>(given.input, given.output, parts_->history, given.prompt, given.max_line_bytes);
  }

  Descriptor watcher(Io::system(), epoll_create1(EPOLL_CLOEXEC));
  epoll_event input{.events = EPOLLIN, .data = {.fd = given.input}};
  const bool watched = watcher && epoll_ctl(watcher.get(), EPOLL_CTL_ADD, given.input, &input) == 0;
  if (!watched && (!watcher || errno != EPERM)) throw std::system_error(errno, std::system_category(), "read lines");
  if (watched) {
    if (parts_->editor) {
      const int changes = parts_->editor->mode().event_fd();
      epoll_event change{.events = EPOLLIN, .data = {.fd = changes}};
      if (epoll_ctl(watcher.get(), EPOLL_CTL_ADD, changes, &change) != 0) {
        throw std::system_error(errno, std::system_category(), "read lines");
      }
    }
    parts_->channel = Channel::make(loop, std::move(watcher));
    parts_->channel->set_source(this);
    if (!parts_->channel->watch_read(true)) throw std::system_error(EIO, std::system_category(), "read lines");
  }
  ready();  // to show the prompt, or to begin with a file
}

ReadlineSource::~ReadlineSource() = default;

bool ReadlineSource::interactive() const noexcept { return parts_->editor != nullptr; }
int ReadlineSource::fd() const noexcept { return parts_->options.input; }
std::string ReadlineSource::name() const { return interactive() ? "readline, terminal" : "readline"; }

void ReadlineSource::print_above(std::string_view text) {
  if (parts_->editor) {
    parts_->editor->print(text);
    return;
  }
  std::string line(text);
  if (!line.ends_with('\n')) line += '\n';
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t written = write(parts_->options.output, rest.data(), rest.size());
    if (written < 0 && errno != EINTR) return;
    if (written > 0) rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

void ReadlineSource::set_prompt(std::string prompt) {
  if (parts_->editor) parts_->editor->set_prompt(std::move(prompt));
}

EventRef ReadlineSource::parse() { return parts_->editor ? parse_keys() : parse_lines(); }

EventRef ReadlineSource::parse_keys() {
  Parts& parts = *parts_;
  LineEditor& editor = *parts.editor;
  if (!editor.shown() && !parts.at_end) {
    editor.show();
    parts.typed_ahead_bytes = editor.typed_ahead_bytes();
  }
  for (;;) {
    while (const auto key = next_key(std::string_view(parts.typed).substr(parts.typed_taken))) {
      const auto bytes = std::string_view(parts.typed).substr(parts.typed_taken, key->size);
      const LineEditor::Outcome outcome = editor.press(*key, bytes);
      parts.typed_taken += key->size;
      switch (outcome) {
        case LineEditor::Outcome::Edited: break;
        case LineEditor::Outcome::Entered:
          if (const auto error = parts.history.add(editor.line())) {
            loop().log().warning("readline", "history not written",
                                 {{"file", parts.options.history_file}, {"error", error.message()}});
          }
          return std::make_unique<LineEntered>(parts.handlers, editor.line());
        case LineEditor::Outcome::Interrupted: return std::make_unique<InputInterrupted>(parts.handlers);
        case LineEditor::Outcome::Ended: return std::make_unique<InputEnded>(parts.handlers);
        case LineEditor::Outcome::CompletionAsked: return std::make_unique<CompletionAsked>(id());
      }
    }
    if (parts.at_end) return end();
    if (!read_input()) return nullptr;
  }
}

EventRef ReadlineSource::parse_lines() {
  Parts& parts = *parts_;
  for (;;) {
    auto line = parts.splitter.next();
    if (!line && parts.at_end) line = parts.splitter.rest();
    if (line && line->cut) return std::make_unique<LineTooLong>(parts.handlers, parts.options.max_line_bytes);
    if (line) return std::make_unique<LineEntered>(parts.handlers, std::move(line->text));
    if (parts.at_end) return end();
    if (!read_input()) return nullptr;
  }
}

EventRef ReadlineSource::end() {
  EventRef ended = std::make_unique<InputEnded>(parts_->handlers);
  loop().remove(id());
  return ended;
}

/// False if there is nothing to read now. Reads only what is there, for the input may be one that blocks.
bool ReadlineSource::read_input() {
  Parts& parts = *parts_;
  if (parts.channel) {
    std::array<epoll_event, 2> events;
    const int count = epoll_wait(parts.channel->fd(), events.data(), static_cast<int>(events.size()), 0);
    bool readable = false;
    for (int i = 0; i < count; ++i) {
      if (events[static_cast<std::size_t>(i)].data.fd == parts.options.input) {
        readable = true;
      } else {
        parts.editor->take_changes();
      }
    }
    if (!readable) return false;
  }
  std::array<std::byte, kReadBytes> bytes;
  const ssize_t size = Io::system().read(parts.options.input, bytes);
  if (size == -EAGAIN) return false;
  if (size <= 0) {
    parts.at_end = true;
    if (size < 0 && size != -EIO) {  // EIO: the terminal has been closed
      const std::error_code error(static_cast<int>(-size), std::system_category());
      loop().log().warning("readline", "input not read", {{"error", error.message()}});
    }
    return true;
  }
  const auto given = std::span(bytes).first(static_cast<std::size_t>(size));
  if (!parts.editor) {
    parts.splitter.append(given);
  } else {
    parts.typed.erase(0, std::exchange(parts.typed_taken, 0));
    const std::size_t before = parts.typed.size();
    parts.typed.append(reinterpret_cast<const char*>(given.data()), given.size());
    const auto ahead = std::min(parts.typed_ahead_bytes, given.size());
    parts.typed_ahead_bytes -= ahead;
    const auto first = parts.typed.begin() + static_cast<std::ptrdiff_t>(before);
    std::replace(first, first + static_cast<std::ptrdiff_t>(ahead), '\0', parts.editor->end_of_file_character());
  }
  return true;
}

void ReadlineSource::complete() {
  LineEditor& editor = *parts_->editor;
  if (!editor.shown()) return;
  if (!parts_->options.complete) return editor.beep();
  const std::string line = editor.before_cursor();
  const std::size_t last_break = line.find_last_of(parts_->options.word_breaks);
  const std::string word = line.substr(last_break == std::string::npos ? 0 : last_break + 1);

  std::vector<std::string> candidates = parts_->options.complete(word, line);
  std::erase_if(candidates, [&](const std::string& candidate) { return !candidate.starts_with(word); });
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  if (candidates.empty()) return editor.beep();
  const std::string common = common_beginning(candidates);
  if (common != word) {
    editor.replace_before_cursor(word.size(), common);
  } else if (candidates.size() > 1) {
    editor.print(in_columns(candidates, static_cast<std::size_t>(editor.columns())));
  }
}

void ReadlineSource::on_pause_changed() noexcept {
  if (parts_->channel) parts_->channel->watch_read(!paused());
  if (!parts_->editor) return;
  if (paused()) {
    parts_->editor->hide();
  } else {
    ready();
  }
}

void ReadlineSource::on_removed() noexcept {
  parts_->channel.reset();
  if (parts_->editor) parts_->editor->hide();
}

void ReadlineSource::on_stopping() noexcept {
  if (parts_->editor) parts_->editor->hide();
}

}  // namespace snowfox
