#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include <snowfox/core/address.h>
#include <snowfox/core/io.h>

#include "support/sockets.h"

namespace snowfox {

/// A connection over which bytes are sent that tell their place, and on which the same are expected back: none lost,
/// none twice. Not on a loop: it is what the loops are tested with.
class PatternStream {
 public:
  using Clock = std::chrono::steady_clock;

  /// `offered`: what there is to send in all.
  PatternStream(const Address& address, std::uint64_t offered)
      : socket_(connect_to(address)), offered_(offered), pattern_(kPeriod + kPiece), room_(kPiece) {
    // A long period, and no two places in it alike to either side of a lost or doubled piece.
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < kPeriod; ++i) {
      state = state * 1664525 + 1013904223;
      pattern_[i] = static_cast<char>(state >> 24);
    }
    std::copy_n(pattern_.begin(), kPiece, pattern_.begin() + kPeriod);
  }

  std::uint64_t offered() const noexcept { return offered_; }
  std::uint64_t sent() const noexcept { return sent_; }
  std::uint64_t received() const noexcept { return received_; }
  /// From now on nothing more is there to be sent.
  void offer_no_more() noexcept { offered_ = sent_; }
  bool finished() const noexcept { return sent_ == offered_ && received_ == offered_; }

  /// Sends whatever is taken and reads at most `bytes`, until that is read, all is finished, or `time` is over.
  /// Throws std::runtime_error if the connection ends or what comes back is not what was sent.
  void run(std::chrono::milliseconds time, std::uint64_t bytes = UINT64_MAX) {
    const auto end = Clock::now() + time;
    std::uint64_t left = bytes;
    while (!finished() && (left > 0 || bytes == 0)) {
      const auto now = Clock::now();
      if (now >= end) return;
      const auto events = static_cast<short>((left > 0 ? POLLIN : 0) | (sent_ < offered_ ? POLLOUT : 0));
      pollfd ready{socket_.get(), events, 0};
      const auto wait = std::chrono::ceil<std::chrono::milliseconds>(end - now).count();
      if (poll(&ready, 1, static_cast<int>(wait)) != 1) continue;
      if (left > 0 && (ready.revents & (POLLIN | POLLHUP | POLLERR)) != 0) left -= read(left);
      if ((ready.revents & POLLOUT) != 0) write();
      if (left == 0 && (ready.revents & (POLLHUP | POLLERR)) != 0) throw std::runtime_error("the connection is over");
    }
  }
  /// Sends until for `time` nothing more was taken.
  void fill(std::chrono::milliseconds time) {
    for (std::uint64_t before = sent_ + 1; before != sent_;) {
      before = sent_;
      run(time, 0);
    }
  }

 private:
  static constexpr std::size_t kPeriod = (1U << 20) - 3;
  static constexpr std::size_t kPiece = 256U << 10;

  void write() {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, offered_ - sent_));
    const ssize_t count = ::send(socket_.get(), pattern_.data() + sent_ % kPeriod, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) sent_ += static_cast<std::uint64_t>(count);
    if (count < 0 && errno != EAGAIN) throw std::runtime_error(std::string("send: ") + std::strerror(errno));
  }
  std::uint64_t read(std::uint64_t most) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, most));
    const ssize_t count = ::recv(socket_.get(), room_.data(), size, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return 0;
    if (count < 0) throw std::runtime_error(std::string("receive: ") + std::strerror(errno));
    if (count == 0) throw std::runtime_error("the connection is over");
    const auto bytes = static_cast<std::size_t>(count);
    if (std::memcmp(room_.data(), pattern_.data() + received_ % kPeriod, bytes) != 0) {
      throw std::runtime_error("what came back after " + std::to_string(received_) + " bytes is not what was sent");
    }
    received_ += bytes;
    return bytes;
  }

  Descriptor socket_;
  std::uint64_t offered_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::vector<char> pattern_;
  std::vector<char> room_;
};

}  // namespace snowfox
