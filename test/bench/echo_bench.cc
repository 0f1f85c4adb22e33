// The echo server's whole path, from a readable socket to the answer written, with its client in the same thread: what
// is told includes the client's own send and receive, which is why depth matters so much.
#include <sys/socket.h>
#include <unistd.h>
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/proto_buf_source.h>

#include "echo.pb.h"

namespace snowfox {
namespace {

using echo::Envelope;

std::string framed(const Envelope& message) {
  const auto size = static_cast<std::uint32_t>(message.ByteSizeLong());
  std::string bytes{static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                    static_cast<char>(size)};
  message.AppendToString(&bytes);
  return bytes;
}

// Arguments: connections, requests under way on each, bytes of body.
void BM_Echo(benchmark::State& state) {
  const auto connections = static_cast<std::size_t>(state.range(0));
  const auto depth = static_cast<std::size_t>(state.range(1));
  LoopManager loop;
  ProtoBufProtocol<Envelope> protocol([](MessageEvent<Envelope>& request) {
    request.message().set_code(request.message().code() + 1);
    request.answer(request.message());
  });
  Envelope request;
  request.set_correlation_id("01890a5d-ac96-774b-bcce-b302099a8057");
  request.set_code(7);
  request.set_body(std::string(static_cast<std::size_t>(state.range(2)), 'x'));
  const std::string one = framed(request);
  std::string batch;
  for (std::size_t i = 0; i < depth; ++i) batch += one;

  std::vector<int> clients;
  for (std::size_t i = 0; i < connections; ++i) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    const int room = 1 << 20;
    for (const int end : ends) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    serve_proto_buf(loop, Channel::make(loop, Descriptor(loop.io(), ends[0])), protocol);
    clients.push_back(ends[1]);
  }
  std::vector<char> answer(batch.size());
  for (auto _ : state) {
    for (const int client : clients) {
      if (send(client, batch.data(), batch.size(), 0) != static_cast<ssize_t>(batch.size())) std::abort();
    }
    for (const int client : clients) {
      std::size_t got = 0;
      while (got < batch.size()) {
        const ssize_t count = recv(client, answer.data() + got, answer.size() - got, 0);
        if (count > 0) {
          got += static_cast<std::size_t>(count);
        } else if (EventRef event = loop.wait(Duration::zero())) {
          loop.dispatch(std::move(event));
          while (EventRef next = loop.wait(Duration::zero())) loop.dispatch(std::move(next));
        }
      }
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(connections * depth));
  for (const int client : clients) close(client);
}
BENCHMARK(BM_Echo)
    ->ArgNames({"connections", "depth", "bytes"})
    ->Args({1, 1, 64})
    ->Args({64, 16, 64})
    ->Args({1000, 1, 64})
    ->Args({16, 4, 16384});

}  // namespace
}  // namespace snowfox
