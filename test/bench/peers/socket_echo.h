#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "echo_work.h"

namespace snowfox::peers {

/// What the connections of a server that reads and writes itself share.
struct SocketEchoShared {
  EchoWork work;
  Bytes answers;
  std::unique_ptr<char[]> received = std::make_unique_for_overwrite<char[]>(2 * kReceiveBytes);
};

/// One connection of such a server, for all whose library only says that a descriptor is ready: one read and one write
/// each time it can be read. While the kernel has not taken all of an answer, nothing more is read.
class SocketEcho {
 public:
  enum class Wants { Read, Write, Close };

  SocketEcho(SocketEchoShared& shared, int fd) noexcept : shared_(shared), fd_(fd) {}
  ~SocketEcho() { close(fd_); }
  SocketEcho(const SocketEcho&) = delete;
  SocketEcho& operator=(const SocketEcho&) = delete;

  int fd() const noexcept { return fd_; }

  Wants on_readable() {
    const std::span<char> room = unframed_.room(shared_.received.get());
    const ssize_t count = recv(fd_, room.data(), room.size(), 0);
    if (count < 0) return errno == EAGAIN || errno == EINTR ? Wants::Read : Wants::Close;
    if (count == 0) return Wants::Close;
    const auto all = unframed_.received(shared_.received.get(), static_cast<std::size_t>(count));
    const std::size_t used = shared_.work.answer(all, shared_.answers);
    if (used == kMalformed) {
      shared_.answers.clear();
      return Wants::Close;
    }
    unframed_.used(all, used);
    const Wants wants = write(shared_.answers);
    if (wants == Wants::Write) pending_.append(shared_.answers.span());
    shared_.answers.clear();
    return wants;
  }

  Wants on_writable() {
    const Wants wants = write(pending_);
    if (wants != Wants::Write) pending_.release();
    return wants;
  }

 private:
  Wants write(Bytes& bytes) {
    if (bytes.empty()) return Wants::Read;
    const ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0) return errno == EAGAIN || errno == EINTR ? Wants::Write : Wants::Close;
    bytes.consume(static_cast<std::size_t>(count));
    return bytes.empty() ? Wants::Read : Wants::Write;
  }

  SocketEchoShared& shared_;
  int fd_;
  Unframed unframed_;
  Bytes pending_;
};

}  // namespace snowfox::peers
