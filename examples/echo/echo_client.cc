// echo_client (--tcp [HOST:]PORT | --unix PATH) [TEXT...]: sends each TEXT and prints what comes back. With --count it
// sends so many requests at once instead, and checks that each gets its own answer. Exit code 0 if all was answered, 1
// if not, 2 for a mistake on the command line.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>
#include <CLI/CLI.hpp>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/promises/request.h>
#include <snowfox/promises/task.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/proto_buf_source.h>

#include "echo.pb.h"

using snowfox::Promise;
using snowfox::Task;
using snowfox::echo::Envelope;

namespace {

Promise<Envelope> send(snowfox::PromiseKeeper& keeper, snowfox::ProtoBufDrain& server, std::uint32_t code,
                       const std::string& body) {
  Envelope message;
  message.set_code(code);
  message.set_body(body);
  return snowfox::request<Envelope>(keeper, server, message);
}

// All requests are under way before the first answer is looked at.
Task<> talk(snowfox::PromiseKeeper& keeper, snowfox::ProtoBufDrain& server, std::vector<std::string> texts,
            bool print) {
  const auto began = std::chrono::steady_clock::now();
  std::vector<Promise<Envelope>> answers;
  for (std::uint32_t i = 0; i < texts.size(); ++i) answers.push_back(send(keeper, server, i, texts[i]));
  for (std::uint32_t i = 0; i < texts.size(); ++i) {
    const Envelope answer = co_await std::move(answers[i]);
    if (answer.code() != i + 1 || answer.body() != texts[i]) {
      throw std::runtime_error("the answer is to another request");
    }
    if (print) fmt::print("{}\n", answer.body());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  if (!print) fmt::print("{} requests answered in {:.3f} s\n", texts.size(), took.count());
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Sends each TEXT to an echo server and prints what comes back.", "echo_client");
  std::string tcp, path;
  std::vector<std::string> texts;
  std::size_t count = 0, bytes = 64;
  double timeout = 30;
  auto* where = app.add_option_group("address")->require_option(1);
  where->add_option("--tcp", tcp, "The server's port, without a host on 127.0.0.1")->type_name("[HOST:]PORT");
  where->add_option("--unix", path, "The server's Unix socket")->type_name("PATH");
  app.add_option("TEXT", texts, "What to send; without any, a greeting");
  app.add_option("--count", count, "Send so many requests at once instead, and check their answers")
      ->check(CLI::Range(1, 1'000'000))
      ->excludes("TEXT");
  app.add_option("--size", bytes, "Bytes in each of those")->check(CLI::Range(0, 1 << 20))->capture_default_str();
  app.add_option("--timeout", timeout, "Give up after so many seconds")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  snowfox::Address address;
  try {
    app.parse(argc, argv);
    address = path.empty() ? snowfox::Address::parse(tcp) : snowfox::Address::unix_socket(path);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::invalid_argument& error) {
    fmt::print(stderr, "echo_client: {}\n", error.what());
    return 2;
  }
  const auto deadline = std::chrono::duration_cast<snowfox::Duration>(std::chrono::duration<double>(timeout));
  const bool print = count == 0;
  if (count != 0) texts.assign(count, std::string(bytes, 'x'));
  if (texts.empty()) texts = {"hello"};

  // All that is asked for may wait to be sent.
  snowfox::LoopManager loop(
      {.watermarks = {.hard_limit =
                          (texts.size() + 1) * (bytes + snowfox::CorrelationId::kMaxBytes + 64) + (64U << 20)}});
  std::string failure;
  const auto fail = [&](const std::string& why) {
    failure = why;
    loop.stop();
  };
  snowfox::PromiseKeeper keeper(loop, {.default_deadline = deadline});
  snowfox::ProtoBufProtocol<Envelope> protocol([&](snowfox::MessageEvent<Envelope>& answer) {
    keeper.fulfill<Envelope>(answer.correlation_id(), std::move(answer.message()));
  });
  protocol.on_closed = [&](snowfox::SourceId, std::error_code reason) { keeper.reject_all(reason); };
  snowfox::ConnectorSource connector(loop, address, deadline, [&](std::error_code error, snowfox::ChannelRef channel) {
    if (error) return fail("cannot connect to " + address.str() + ": " + error.message());
    const auto connection = snowfox::connect_proto_buf(loop, channel, protocol);
    talk(keeper, *loop.fetch<snowfox::ProtoBufDrain>(connection.drain), texts, print)
        .promise(loop)
        .then([&] { loop.stop(); })
        .otherwise([&](const std::exception_ptr& why) { fail(snowfox::describe(why)); })
        .detach();
  });
  const int exit_code = loop.run();
  if (!failure.empty()) throw std::runtime_error(failure);
  return exit_code;
} catch (const std::exception& error) {
  fmt::print(stderr, "echo_client: {}\n", error.what());
  return EXIT_FAILURE;
}
