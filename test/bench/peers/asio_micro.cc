// What posting and timers cost with Asio. A timer that is armed anew first calls the handler that waited for it, with
// an error; that is part of it.
#include <deque>
#include <asio.hpp>

#include "micro.h"

namespace snowfox::peers {
namespace {

class Post {
 public:
  void run_chain(std::uint64_t count) {
    left_ = count;
    asio::post(context_, [this] { step(); });
    run();
  }
  void run_batch(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) asio::post(context_, [this] { ++handled_; });
    run();
  }
  std::uint64_t handled() const noexcept { return handled_; }

 private:
  void step() {
    ++handled_;
    if (--left_ != 0) asio::post(context_, [this] { step(); });
  }
  void run() {
    context_.restart();
    context_.run();
  }

  asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE};
  std::uint64_t handled_ = 0;
  std::uint64_t left_ = 0;
};

class Timers {
 public:
  explicit Timers(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) timers_.emplace_back(context_);
  }
  void arm(std::size_t i, std::chrono::nanoseconds wait) {
    timers_[i].expires_after(wait);
    timers_[i].async_wait([this](const std::error_code& error) {
      if (!error) ++expired_;
    });
  }
  void run_due() { context_.poll(); }
  std::size_t expired() const noexcept { return expired_; }

 private:
  asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE};
  std::size_t expired_ = 0;
  std::deque<asio::steady_timer> timers_;
};

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  register_posts<Post>();
  register_timers<Timers>();
  return run_benchmarks(argc, argv);
}
