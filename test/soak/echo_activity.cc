#include "soak/echo_activity.h"

#include <sys/socket.h>

#include <chrono>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/promises/request.h>
#include <snowfox/promises/sleep.h>

#include "common/connect.h"

namespace snowfox::soak {
namespace {

using namespace std::chrono_literals;
using echo::Envelope;

constexpr Duration kPatience = 40s;

}  // namespace

EchoClient::EchoClient(LoopManager& loop)
    : loop_(loop), keeper_(loop, {.default_deadline = kPatience}), protocol_([this](MessageEvent<Envelope>& answer) {
        keeper_.fulfill<Envelope>(answer.correlation_id(), std::move(answer.message()));
      }) {
  protocol_.on_closed = [this](SourceId, std::error_code reason) { keeper_.reject_all(reason); };
}

EchoClient::~EchoClient() {
  loop_.remove(connection_.source);
  loop_.remove(connection_.drain);
}

Promise<void> EchoClient::connect(const Address& address) {
  return node::connect(loop_, address, kPatience).then([this](const ChannelRef& channel) {
    connection_ = connect_proto_buf(loop_, channel, protocol_);
  });
}

Promise<Envelope> EchoClient::ask(std::uint32_t code, const std::string& body) {
  auto* drain = loop_.fetch<ProtoBufDrain>(connection_.drain);
  if (drain == nullptr) return rejected<Envelope>(loop_, std::make_error_code(std::errc::not_connected));
  Envelope message;
  message.set_code(code);
  message.set_body(body);
  return request<Envelope>(keeper_, *drain, std::move(message));
}

void EchoClient::pause() noexcept {
  if (EventSource* source = loop_.source(connection_.source)) source->pause();
}
void EchoClient::resume() noexcept {
  if (EventSource* source = loop_.source(connection_.source)) source->resume();
}

EchoActivity::EchoActivity(LoopManager& loop, Tally& tally, const Address& echo, const Address& node)
    : Activity(loop, tally), echo_(echo), node_(node) {
  for (int i = 0; i < 4; ++i) run("echo", ask());
  for (int i = 0; i < 2; ++i) run("slow reader", read_slowly());
  run("reset", leave_early());
}

std::string EchoActivity::random_body(std::size_t most) {
  return std::string(random_() % most, static_cast<char>(random_()));
}

Task<> EchoActivity::ask() {
  while (!finishing()) {
    EchoClient client(loop());
    co_await client.connect(echo_);
    for (std::uint32_t i = 0; i < 300 && !finishing(); ++i) {
      const std::string body = random_body(2000);
      const TimePoint asked = loop().now();
      const Envelope answer = co_await client.ask(i, body);
      latencies_.add(loop().now() - asked);
      if (answer.code() != i + 1 || answer.body() != body) tally().failed("echo", "the answer is to another request");
      tally().done("echoes");
      co_await sleep(loop(), 2ms);
    }
    if (client.orphans() != 0) tally().failed("echo", "an answer came twice");
    tally().done("echo connections");
  }
}

Task<> EchoActivity::read_slowly() {
  while (!finishing()) {
    EchoClient client(loop());
    co_await client.connect(echo_);
    std::vector<Promise<Envelope>> answers;
    client.pause();
    for (std::uint32_t i = 0; i < 100; ++i) answers.push_back(client.ask(i, std::string(64U << 10, 'x')));
    co_await sleep(loop(), 1s);
    client.resume();
    for (std::uint32_t i = 0; i < 100; ++i) {
      const Envelope answer = co_await std::move(answers[i]);
      if (answer.code() != i + 1) tally().failed("slow reader", "the answer is to another request");
    }
    tally().done("slow readers");
    co_await sleep(loop(), 1s);
  }
}

Task<> EchoActivity::leave_early() {
  for (int round = 0; !finishing(); ++round) {
    ChannelRef channel = co_await node::connect(loop(), round % 2 == 0 ? echo_ : node_, kPatience);
    constexpr std::string_view kHalf("\0\0\0\100half of a frame", 19);
    if (::send(channel->fd(), kHalf.data(), kHalf.size(), MSG_NOSIGNAL) < 0) tally().failed("reset", "cannot send");
    const linger at_once{1, 0};
    ::setsockopt(channel->fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    channel.reset();
    tally().done("connections reset in a frame");
    co_await sleep(loop(), 20ms);
  }
}

}  // namespace snowfox::soak
