#pragma once

#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/drains/stream_drain.h>
#include <snowfox/sources/stream_source.h>
#include <snowfox/tls/tls_client_context.h>
#include <snowfox/tls/tls_server_context.h>

#include "support/manual_loop.h"
#include "support/sockets.h"
#include "test_authority.h"

namespace snowfox {

/// One end of a connection: what became of it.
struct TlsEnd {
  std::optional<TlsSession> session;  ///< once the handshake is complete
  ChannelRef channel;
  TlsFailure failure;  ///< of the handshake
  SourceId source = kNoSource;
  DrainId drain = kNoDrain;
  std::string received;
  std::uint64_t received_bytes = 0;
  std::optional<std::error_code> ended;
  /// Is given what comes instead of `received`.
  std::function<void(std::string_view)> on_bytes;
  const Watermarks* watermarks = nullptr;
};

/// A protocol without frames.
class Bytes final : public StreamSource {
 public:
  Bytes(LoopManager& loop, ChannelRef channel, TlsEnd& end) : StreamSource(loop, std::move(channel)), end_(end) {}

 private:
  EventRef parse_frame(ReceiveBuffer& received) override {
    const auto bytes = received.data();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    end_.received_bytes += text.size();
    if (end_.on_bytes) {
      end_.on_bytes(text);
    } else {
      end_.received += text;
    }
    received.consume(bytes.size());
    return nullptr;
  }
  EventRef closed(std::error_code reason) override {
    end_.ended = reason;
    end_.channel.reset();
    return make_event([] {});
  }
  TlsEnd& end_;
};

/// Our client on our server, on a loop whose clock is turned by hand.
class TlsTest : public testing::Test {
 protected:
  TlsTest() {
    server_options_.certificate = authority_.issue({.name = "localhost"});
    client_options_.authorities_file = authority_.file();
  }

  TlsServerContext& server() {
    if (!server_) {
      server_ = std::make_unique<TlsServerContext>(*loop_, server_options_);
      server_->on_failure([this](const Address&, const TlsFailure& failure) { server_end_.failure = failure; });
    }
    return *server_;
  }
  TlsClientContext& client() {
    if (!client_) client_ = std::make_unique<TlsClientContext>(*loop_, client_options_);
    return *client_;
  }

  /// Makes source and drain.
  void begin(TlsEnd& end, TlsConnection connection) {
    end.session = connection.session;
    end.channel = connection.channel;
    end.drain = loop_->add(std::make_unique<StreamDrain>(*loop_, connection.channel, end.watermarks)).id();
    end.source = loop_->add(std::make_unique<Bytes>(*loop_, connection.channel, end)).id();
  }
  /// A server's end on `socket`.
  void serve(Descriptor socket, TlsEnd& end) {
    server().accept(Channel::make(*loop_, std::move(socket)), Address(),
                    [this, &end](TlsConnection connection) { begin(end, std::move(connection)); });
  }
  void ask(Descriptor socket, TlsEnd& end, const std::string& host = "localhost") {
    client().connect(Channel::make(*loop_, std::move(socket)), host,
                     [this, &end](const TlsFailure& failure, TlsConnection connection) {
                       end.failure = failure;
                       if (!failure.code) begin(end, std::move(connection));
                     });
  }
  void connect(TlsEnd& client_end, TlsEnd& server_end, const std::string& host = "localhost") {
    auto [ours, theirs] = make_socket_pair();
    serve(std::move(ours), server_end);
    ask(std::move(theirs), client_end, host);
    loop_.turn();
  }
  void connect() { connect(client_end_, server_end_); }
  /// A server's end on a socket whose other end the test has.
  Descriptor raw_client() {
    auto [ours, theirs] = make_socket_pair();
    serve(std::move(ours), server_end_);
    loop_.turn();
    return std::move(theirs);
  }
  StreamDrain& drain(const TlsEnd& end) { return *loop_->fetch<StreamDrain>(end.drain); }
  StreamSource& source(const TlsEnd& end) { return *loop_->fetch<StreamSource>(end.source); }

  ManualLoop loop_;
  TestAuthority authority_;
  TlsServerOptions server_options_;
  TlsClientOptions client_options_;
  std::unique_ptr<TlsServerContext> server_;
  std::unique_ptr<TlsClientContext> client_;
  TlsEnd client_end_;
  TlsEnd server_end_;
};

}  // namespace snowfox
