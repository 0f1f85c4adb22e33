#pragma once

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace snowfox {

/// What a terminal shows of what is written to it, as far as libedit makes use of it.
class Screen {
 public:
  explicit Screen(std::size_t columns) : columns_(columns) {}

  void write(std::string_view bytes) {
    for (const char byte : bytes) put(byte);
  }
  /// The rows, without blanks at their ends and without empty rows at the end.
  std::vector<std::string> rows() const {
    std::vector<std::string> all;
    for (const auto& row : rows_) {
      std::string text;
      for (const std::string& cell : row) text += cell;
      text.erase(text.find_last_not_of(' ') + 1);
      all.push_back(text);
    }
    while (!all.empty() && all.back().empty()) all.pop_back();
    return all;
  }
  std::size_t cursor_row() const { return row_; }
  std::size_t cursor_column() const { return column_; }
  bool beeped() const { return beeped_; }

 private:
  using Row = std::vector<std::string>;

  void put(char byte) {
    if (!sequence_.empty()) {
      sequence_ += byte;
      if (sequence_.size() > 2 && byte >= '@' && byte <= '~') control(std::exchange(sequence_, {}));
      return;
    }
    switch (byte) {
      case '\x1b': sequence_ = byte; break;
      case '\r': column_ = 0; break;
      case '\n': ++row_; break;
      case '\b':
        if (column_ > 0) --column_;
        break;
      case '\a': beeped_ = true; break;
      default: character(byte);
    }
  }

  void character(char byte) {
    if ((static_cast<unsigned char>(byte) & 0xC0) == 0x80) {  // goes on with the one before
      cell(row_, column_ - 1) += byte;
      return;
    }
    if (column_ == columns_) {  // only the next character wraps
      column_ = 0;
      ++row_;
    }
    cell(row_, column_++) = byte;
  }

  void control(const std::string& sequence) {
    const std::size_t number = std::strtoul(sequence.c_str() + 2, nullptr, 10);
    const std::size_t count = number == 0 ? 1 : number;
    switch (sequence.back()) {
      case 'A': row_ -= std::min(row_, count); break;
      case 'C': column_ = std::min(column_ + count, columns_ - 1); break;
      case 'D': column_ -= std::min(column_, count); break;
      case 'G': column_ = count - 1; break;
      case 'K':
        for (std::size_t at = column_; at < columns_; ++at) cell(row_, at) = " ";
        break;
      case 'J':
        if (number == 2) rows_.clear();
        break;
      case 'H': row_ = column_ = 0; break;
      case 'P': {
        cell(row_, columns_ - 1);
        Row& row = rows_[row_];
        row.erase(row.begin() + static_cast<long>(column_), row.begin() + static_cast<long>(column_ + count));
        break;
      }
      case '@':
        cell(row_, columns_ - 1);
        rows_[row_].insert(rows_[row_].begin() + static_cast<long>(column_), count, " ");
        rows_[row_].resize(columns_);
        break;
      case 'm':
      case 'h':
      case 'l': break;
      default: ADD_FAILURE() << "the screen does not know " << sequence.substr(1);
    }
  }

  std::string& cell(std::size_t row, std::size_t column) {
    if (rows_.size() <= row) rows_.resize(row + 1);
    if (rows_[row].size() <= column) rows_[row].resize(column + 1, " ");
    return rows_[row][column];
  }

  std::size_t columns_;
  std::vector<Row> rows_;
  std::size_t row_ = 0;
  std::size_t column_ = 0;
  bool beeped_ = false;
  std::string sequence_;
};

/// A pseudo-terminal: the program's side, and the keyboard and screen at the other.
class PseudoTerminal {
 public:
  explicit PseudoTerminal(unsigned short columns = 40) : screen_(columns) {
    winsize size{};
    size.ws_row = 24;
    size.ws_col = columns;
    if (openpty(&keyboard_, &terminal_, nullptr, nullptr, &size) != 0) {
      throw std::system_error(errno, std::system_category(), "open a pseudo-terminal");
    }
    fcntl(keyboard_, F_SETFL, O_NONBLOCK);
    tcgetattr(terminal_, &found_);
  }
  ~PseudoTerminal() {
    close_keyboard();
    close(terminal_);
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;

  int fd() const { return terminal_; }
  void send(std::string_view keys) {
    ASSERT_EQ(write(keyboard_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  /// Returns when `keys` can be read, which is a moment later.
  void type(std::string_view keys) {
    send(keys);
    termios now{};
    tcgetattr(terminal_, &now);
    pollfd readable{terminal_, POLLIN, 0};
    for (int i = 0; i < 1000 && poll(&readable, 1, 1000) == 1; ++i) {
      int there = 0;
      ioctl(terminal_, FIONREAD, &there);
      if ((now.c_lflag & ICANON) != 0 || there >= static_cast<int>(keys.size())) return;
      usleep(1000);
    }
  }
  pid_t foreground_group() const { return tcgetpgrp(keyboard_); }
  Screen& screen() {
    std::array<char, 4096> bytes;
    for (ssize_t size = 0; (size = read(keyboard_, bytes.data(), bytes.size())) > 0;) {
      screen_.write({bytes.data(), static_cast<std::size_t>(size)});
    }
    return screen_;
  }
  void resize(unsigned short columns) {
    winsize size{};
    size.ws_row = 24;
    size.ws_col = columns;
    ioctl(terminal_, TIOCSWINSZ, &size);
  }
  void close_keyboard() {
    if (keyboard_ >= 0) close(std::exchange(keyboard_, -1));
  }
  /// Whether it is in the mode it was made in.
  bool as_found() const {
    termios now{};
    tcgetattr(terminal_, &now);
    return now.c_iflag == found_.c_iflag && now.c_oflag == found_.c_oflag && now.c_cflag == found_.c_cflag &&
           now.c_lflag == found_.c_lflag && std::equal(std::begin(now.c_cc), std::end(now.c_cc), found_.c_cc);
  }
  bool echoes() const {
    termios now{};
    tcgetattr(terminal_, &now);
    return (now.c_lflag & ECHO) != 0;
  }

 private:
  int keyboard_ = -1;
  int terminal_ = -1;
  termios found_{};
  Screen screen_;
};

}  // namespace snowfox
