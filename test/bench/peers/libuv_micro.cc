// What posting and timers cost with libuv. It has no queue for its own thread (uv_async_send is for others, and makes a
// system call), so a program has one: drained by an idle handle, at most 64 at a time, so that nothing else starves.
#include <deque>
#include <memory>

#include <uv.h>

#include "micro.h"

namespace snowfox::peers {
namespace {

class Post {
 public:
  Post() {
    uv_loop_init(&loop_);
    uv_idle_init(&loop_, &idle_);
    idle_.data = this;
  }
  ~Post() {
    uv_close(reinterpret_cast<uv_handle_t*>(&idle_), nullptr);
    uv_run(&loop_, UV_RUN_DEFAULT);
    uv_loop_close(&loop_);
  }
  Post(const Post&) = delete;
  Post& operator=(const Post&) = delete;

  void run_chain(std::uint64_t count) {
    left_ = count;
    post([](Post& self) { self.step(); });
    uv_run(&loop_, UV_RUN_DEFAULT);
  }
  void run_batch(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) post([](Post& self) { ++self.handled_; });
    uv_run(&loop_, UV_RUN_DEFAULT);
  }
  std::uint64_t handled() const noexcept { return handled_; }

 private:
  using Handler = void (*)(Post&);

  void step() {
    ++handled_;
    if (--left_ != 0) post([](Post& self) { self.step(); });
  }
  void post(Handler handler) {
    if (queue_.empty()) uv_idle_start(&idle_, [](uv_idle_t* idle) { static_cast<Post*>(idle->data)->drain(); });
    queue_.push_back(handler);
  }
  void drain() {
    for (int i = 0; i < 64 && !queue_.empty(); ++i) {
      const Handler handler = queue_.front();
      queue_.pop_front();
      handler(*this);
    }
    if (queue_.empty()) uv_idle_stop(&idle_);
  }

  uv_loop_t loop_{};
  uv_idle_t idle_{};
  std::deque<Handler> queue_;
  std::uint64_t handled_ = 0;
  std::uint64_t left_ = 0;
};

class Timers {
 public:
  explicit Timers(std::size_t count) : timers_(count) {
    uv_loop_init(&loop_);
    for (uv_timer_t& timer : timers_) {
      uv_timer_init(&loop_, &timer);
      timer.data = &expired_;
    }
  }
  ~Timers() {
    for (uv_timer_t& timer : timers_) uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
    uv_run(&loop_, UV_RUN_DEFAULT);
    uv_loop_close(&loop_);
  }
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  void arm(std::size_t i, std::chrono::nanoseconds wait) {
    const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
    uv_timer_start(
        &timers_[i], [](uv_timer_t* timer) { ++*static_cast<std::size_t*>(timer->data); },
        static_cast<std::uint64_t>(milliseconds), 0);
  }
  void run_due() { uv_run(&loop_, UV_RUN_NOWAIT); }
  std::size_t expired() const noexcept { return expired_; }

 private:
  uv_loop_t loop_{};
  std::size_t expired_ = 0;
  std::vector<uv_timer_t> timers_;
};

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  register_posts<Post>();
  register_timers<Timers>();
  return run_benchmarks(argc, argv);
}
