// echo_ping (--tcp [HOST:]PORT | --unix PATH): asks an echo server once a second, as ping does a host, and tells how
// long each answer took. A libuv program like many: its timer, its signals and its loop are libuv's. SnowFox runs
// inside that loop and does the talking. Exit code 0 if all was answered, 1 if not, 2 for a mistake on the command
// line.
#include <uv.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <CLI/CLI.hpp>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/promises/request.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/proto_buf_source.h>

#include "echo.pb.h"

using snowfox::echo::Envelope;
using Milliseconds = std::chrono::duration<double, std::milli>;

namespace {

struct Options {
  snowfox::Address address;
  double interval = 1;
  std::uint32_t count = 0;
};

/// The program as it was before SnowFox came: a libuv loop with a timer and a signal.
struct Host {
  uv_loop_t loop;
  uv_timer_t timer;
  uv_signal_t interrupt;

  Host() {
    uv_loop_init(&loop);
    uv_timer_init(&loop, &timer);
    uv_signal_init(&loop, &interrupt);
  }
  ~Host() {
    uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
    uv_close(reinterpret_cast<uv_handle_t*>(&interrupt), nullptr);
    uv_run(&loop, UV_RUN_DEFAULT);  // also lets go of SnowFox's handles
    uv_loop_close(&loop);
  }
};

class Ping {
 public:
  Ping(Host& host, const Options& options)
      : host_(host),
        options_(options),
        sink_(STDERR_FILENO),
        log_(sink_),
        loop_(std::make_unique<snowfox::UvPoller>(&host.loop), snowfox::Io::system(), log_),
        keeper_(loop_, {.default_deadline = std::chrono::seconds(5)}),
        protocol_([this](snowfox::MessageEvent<Envelope>& answer) {
          keeper_.fulfill<Envelope>(answer.correlation_id(), std::move(answer.message()));
        }),
        connector_(loop_, options.address, std::chrono::seconds(5),
                   [this](std::error_code error, const snowfox::ChannelRef& channel) { connected(error, channel); }) {
    protocol_.on_closed = [this](snowfox::SourceId, std::error_code why) { end(why); };
    host_.timer.data = host_.interrupt.data = this;
    uv_signal_start(
        &host_.interrupt, [](uv_signal_t* signal, int) { static_cast<Ping*>(signal->data)->end({}); }, SIGINT);
    loop_.attach();
  }

  /// 0 if every request was answered.
  int report() const {
    fmt::print("{} sent, {} answered", sent_, answered_);
    if (answered_ != 0) fmt::print(", ms: least {:.3f}, mean {:.3f}, most {:.3f}", least_, sum_ / answered_, most_);
    fmt::print("\n");
    return sent_ != 0 && answered_ == sent_ && !failed_ ? EXIT_SUCCESS : EXIT_FAILURE;
  }

 private:
  void connected(std::error_code error, const snowfox::ChannelRef& channel) {
    if (error) return end(error);
    server_ = snowfox::connect_proto_buf(loop_, channel, protocol_).drain;
    uv_timer_start(
        &host_.timer, [](uv_timer_t* timer) { static_cast<Ping*>(timer->data)->ask(); }, 0,
        static_cast<std::uint64_t>(options_.interval * 1000));
  }

  // Called by libuv. What is enqueued here goes out before the loop waits again.
  void ask() {
    auto* drain = loop_.fetch<snowfox::ProtoBufDrain>(server_);
    if (drain == nullptr) return;
    Envelope message;
    message.set_code(++sent_);
    if (sent_ == options_.count) uv_timer_stop(&host_.timer);
    const auto began = std::chrono::steady_clock::now();
    snowfox::request<Envelope>(keeper_, *drain, message)
        .then([this, began](const Envelope& answer) { answered(answer, std::chrono::steady_clock::now() - began); })
        .otherwise([this](std::exception_ptr why) {
          fmt::print("no answer: {}\n", snowfox::describe(why));
          over();
        })
        .detach();
  }

  void answered(const Envelope& answer, Milliseconds took) {
    ++answered_;
    least_ = std::min(least_, took.count());
    most_ = std::max(most_, took.count());
    sum_ += took.count();
    fmt::print("answer {} from {}: {:.3f} ms\n", answer.code() - 1, options_.address.str(), took.count());
    std::fflush(stdout);
    over();
  }

  void over() {
    if (options_.count != 0 && sent_ == options_.count && keeper_.size() == 0) end({});
  }

  // Nothing left to wait for: libuv's loop ends.
  void end(std::error_code why) {
    if (why) {
      fmt::print(stderr, "echo_ping: {}: {}\n", options_.address.str(), why.message());
      failed_ = true;
    }
    uv_timer_stop(&host_.timer);
    uv_signal_stop(&host_.interrupt);
    loop_.stop();
  }

  Host& host_;
  const Options& options_;
  snowfox::DescriptorLogSink sink_;
  snowfox::Log log_;
  snowfox::LoopManager loop_;
  snowfox::PromiseKeeper keeper_;
  snowfox::ProtoBufProtocol<Envelope> protocol_;
  snowfox::ConnectorSource connector_;
  snowfox::DrainId server_ = snowfox::kNoDrain;
  std::uint32_t sent_ = 0;
  std::uint32_t answered_ = 0;
  double least_ = 1e300;
  double most_ = 0;
  double sum_ = 0;
  bool failed_ = false;
};

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Asks an echo server once a second and tells how long each answer took, until SIGINT.", "echo_ping");
  Options options;
  std::string tcp, path;
  auto* where = app.add_option_group("address")->require_option(1);
  where->add_option("--tcp", tcp, "The server's port, without a host on 127.0.0.1")->type_name("[HOST:]PORT");
  where->add_option("--unix", path, "The server's Unix socket")->type_name("PATH");
  app.add_option("-c,--count", options.count, "Stop after so many; 0: go on")->capture_default_str();
  app.add_option("-i,--interval", options.interval, "Seconds between them")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
    options.address = path.empty() ? snowfox::Address::parse(tcp) : snowfox::Address::unix_socket(path);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::invalid_argument& error) {
    fmt::print(stderr, "echo_ping: {}\n", error.what());
    return 2;
  }

  Host host;
  Ping ping(host, options);
  uv_run(&host.loop, UV_RUN_DEFAULT);
  return ping.report();
} catch (const std::exception& error) {
  fmt::print(stderr, "echo_ping: {}\n", error.what());
  return EXIT_FAILURE;
}
