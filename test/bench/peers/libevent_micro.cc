// What posting and timers cost with libevent. What is posted is an event that is made active; each may wait once only,
// so a batch has as many of them.
#include <event2/event.h>
#include <event2/event_struct.h>

#include "micro.h"

namespace snowfox::peers {
namespace {

class Post {
 public:
  Post() : base_(event_base_new()), batch_(kBatch) {
    event_assign(
        &chain_, base_, -1, 0, [](evutil_socket_t, short, void* self) { static_cast<Post*>(self)->step(); }, this);
    for (event& one : batch_) {
      event_assign(
          &one, base_, -1, 0, [](evutil_socket_t, short, void* self) { ++static_cast<Post*>(self)->handled_; }, this);
    }
  }
  ~Post() { event_base_free(base_); }
  Post(const Post&) = delete;
  Post& operator=(const Post&) = delete;

  void run_chain(std::uint64_t count) {
    left_ = count;
    event_active(&chain_, EV_READ, 0);
    while (left_ != 0) event_base_loop(base_, EVLOOP_NONBLOCK);
  }
  void run_batch(std::uint64_t count) {
    const std::uint64_t until = handled_ + count;
    for (std::uint64_t i = 0; i < count; ++i) event_active(&batch_[i], EV_READ, 0);
    while (handled_ < until) event_base_loop(base_, EVLOOP_NONBLOCK);
  }
  std::uint64_t handled() const noexcept { return handled_; }

 private:
  void step() {
    ++handled_;
    if (--left_ != 0) event_active(&chain_, EV_READ, 0);
  }

  event_base* base_;
  event chain_{};
  std::vector<event> batch_;
  std::uint64_t handled_ = 0;
  std::uint64_t left_ = 0;
};

class Timers {
 public:
  explicit Timers(std::size_t count) : base_(event_base_new()), timers_(count) {
    for (event& timer : timers_) {
      event_assign(
          &timer, base_, -1, 0, [](evutil_socket_t, short, void* expired) { ++*static_cast<std::size_t*>(expired); },
          &expired_);
    }
  }
  ~Timers() {
    for (event& timer : timers_) event_del(&timer);
    event_base_free(base_);
  }
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  void arm(std::size_t i, std::chrono::nanoseconds wait) {
    const auto microseconds = std::chrono::ceil<std::chrono::microseconds>(wait).count();
    const timeval after{microseconds / 1'000'000, microseconds % 1'000'000};
    event_add(&timers_[i], &after);
  }
  void run_due() { event_base_loop(base_, EVLOOP_NONBLOCK); }
  std::size_t expired() const noexcept { return expired_; }

 private:
  event_base* base_;
  std::size_t expired_ = 0;
  std::vector<event> timers_;
};

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  register_posts<Post>();
  register_timers<Timers>();
  return run_benchmarks(argc, argv);
}
