#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include <snowfox/drains/stream_drain.h>
#include <snowfox/sources/stream_source.h>

#include "support/line_stream.h"
#include "support/manual_loop.h"
#include "support/passing_io.h"
#include "support/sockets.h"

namespace snowfox {

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Counts reads.
class CountingIo final : public PassingIo {
 public:
  ssize_t receive(int fd, std::span<std::byte> into) override {
    ++receives;
    return PassingIo::receive(fd, into);
  }
  int receives = 0;
};

class StreamSourceTest : public testing::Test {
 protected:
  void SetUp() override { connect(); }

  /// Makes the connection under test anew.
  void connect(const StreamOptions* options = nullptr, const Watermarks* watermarks = nullptr) {
    source_.reset();
    drain_.reset();
    auto [ours, theirs] = make_socket_pair();
    theirs_ = std::move(theirs);
    serve(std::move(ours), options, watermarks);
  }
  /// Over TCP, with a peer that takes only some thousand bytes before it reads.
  void connect_tcp() {
    source_.reset();
    drain_.reset();
    const Descriptor listening = io_.listen(Address::parse("tcp:127.0.0.1:0"), {});
    theirs_ = connect_to(io_.local_address(listening.get()), 4096);
    Address peer;
    serve({io_, io_.accept(listening.get(), peer)});
  }
  void serve(Descriptor ours, const StreamOptions* options = nullptr, const Watermarks* watermarks = nullptr) {
    const auto channel = Channel::make(*loop_, Descriptor(io_, ours.release()));
    drain_ = std::make_unique<StreamDrain>(*loop_, channel, watermarks);
    source_ = std::make_unique<LineStream>(*loop_, channel, options);
    drain_->bind(source_->id());
  }
  void send(std::string_view bytes) {
    ASSERT_EQ(send_some(theirs_.get(), bytes), bytes.size());
    loop_.turn();
  }
  /// The peer says that it sends nothing more, but still reads.
  void half_close() { ::shutdown(theirs_.get(), SHUT_WR); }

  CountingIo io_;
  ManualLoop loop_;
  Descriptor theirs_;
  std::unique_ptr<StreamDrain> drain_;
  std::unique_ptr<LineStream> source_;
};

}  // namespace snowfox
