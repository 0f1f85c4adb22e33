// A server's side of TLS. The input: options, the cuts of reads and of writes, bytes. Those are what a client says
// first; or what comes, as no record of it, when the handshake is complete; or what a client sends by TLS and gets
// back, however it is cut.
#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <snowfox/drains/stream_drain.h>
#include <snowfox/sources/stream_source.h>
#include <snowfox/tls/tls_server_context.h>

#include "fuzz.h"
#include "scripted_world.h"
#include "tls/test_authority.h"

using namespace snowfox;

namespace {

struct Files {
  TestAuthority authority;
  TlsCertificateFiles server = authority.issue({.name = "server"});
};

class Echo final : public StreamSource {
 public:
  Echo(LoopManager& loop, ChannelRef channel, DrainId drain) : StreamSource(loop, std::move(channel)), drain_(drain) {}

 private:
  EventRef parse_frame(ReceiveBuffer& received) override {
    if (EventDrain* drain = loop().drain(drain_)) drain->enqueue(received.data());
    received.consume(received.data().size());
    return nullptr;
  }
  DrainId drain_;
};

/// OpenSSL's own client, whose bytes go by a script.
class Client {
 public:
  Client() : context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_)) {
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_connect_state(ssl_);
  }
  ~Client() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool shake() { return SSL_do_handshake(ssl_) == 1; }
  void say(std::string_view bytes) {
    if (!bytes.empty()) SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
  }
  void end() { SSL_shutdown(ssl_); }
  std::string heard() {
    std::string all(1U << 16, '\0');
    const int size = SSL_read(ssl_, all.data(), static_cast<int>(all.size()));
    all.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return all;
  }
  /// Gives the peer what it has to send, and takes what it was sent.
  void exchange(ScriptedPeer& peer) {
    BIO_write(in_, peer.took.data() + taken_, static_cast<int>(peer.took.size() - taken_));
    taken_ = peer.took.size();
  }
  void send(ScriptedPeer& peer) {
    std::string said(1U << 16, '\0');
    const int size = BIO_read(out_, said.data(), static_cast<int>(said.size()));
    if (size > 0) peer.sends.append(said, 0, static_cast<std::size_t>(size));
  }

 private:
  SSL_CTX* context_;
  SSL* ssl_;
  BIO* in_;
  BIO* out_;
  std::size_t taken_ = 0;
};

void settle(ScriptedWorld& world) {
  // Reads and writes that find nothing are tried again.
  for (int i = 0; i < 40; ++i) world.loop().turn();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Files files;
  FuzzInput input(data, size);
  const std::uint8_t options = input.byte();
  const bool complete = (options & 1) != 0;
  const bool by_tls = (options & 2) != 0;
  const Cuts reads = Cuts::from(input, 8);
  const Cuts writes = Cuts::from(input, 8);
  const std::string_view bytes = input.rest();

  ScriptedWorld world(options / 64 + 1U);
  TlsServerOptions asked;
  asked.certificate = files.server;
  asked.protocols = {"http/1.1"};
  if ((options & 4) != 0) {
    asked.client_certificates = TlsClientCertificates::Welcome;
    asked.client_authorities = files.authority.file();
  }
  if ((options & 8) != 0) asked.require_close_notify = false;
  TlsServerContext tls(*world.loop(), asked);
  ScriptedPeer& peer = world.next_peer();
  peer.cuts = reads;
  peer.takes = writes;
  bool secured = false;
  tls.accept(world.connect(), Address(), [&](TlsConnection connection) {
    secured = true;
    demand(!connection.session.version.empty(), "a version that is none");
    auto& drain = world.loop()->add(std::make_unique<StreamDrain>(*world.loop(), connection.channel));
    world.loop()->add(std::make_unique<Echo>(*world.loop(), connection.channel, drain.id()));
  });

  if (complete) {
    Client client;
    for (int i = 0; i < 5 && !(client.shake() && secured); ++i) {
      client.send(peer);
      settle(world);
      client.exchange(peer);
    }
    demand(secured, "a handshake does not come about");
    if (by_tls) {
      client.say(bytes);
      client.send(peer);
      settle(world);
      client.exchange(peer);
      demand(client.heard() == bytes, "an echo is not what was said");
      client.end();
      client.send(peer);
    } else {
      peer.sends += bytes;
    }
  } else {
    peer.sends = bytes;
  }
  settle(world);
  peer.then = ScriptedPeer::kCloses;
  settle(world);
  // What is told to it in vain, and what it may still say, have their time.
  world.loop().pass(std::chrono::minutes(2));
  demand(!peer.connected, "the connection is over and its descriptor is still open");
  demand(tls.counters().handshakes == 0 && tls.counters().connections == 0, "a connection is counted that is over");
  demand(world.loop()->drain_count() == 0, "the connection is over and its drain is still there");
  demand(world.loop()->buffers().lent_bytes() == 0, "the connection is over and holds a buffer");
  demand(world.loop()->audit().findings().empty(), "the loop's books do not add up");
  return 0;
}
