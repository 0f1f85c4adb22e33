// What it costs with CAF if an actor sends a message to itself and handles it. Actors run on a thread of the scheduler,
// of which there is one here; so what is told is the time of the whole process.
#include <caf/all.hpp>

#include "micro.h"

namespace snowfox::peers {
namespace {

struct State {
  caf::actor client;
  std::uint32_t waiting = 0;
  std::uint64_t handled = 0;
};

caf::behavior work(caf::stateful_actor<State>* self) {
  return {
      // So many, each of which sends the next.
      [self](const caf::actor& client, std::uint64_t left) {
        self->state.client = client;
        self->send(self, left);
      },
      [self](std::uint64_t left) {
        ++self->state.handled;
        if (left == 1) {
          self->send(self->state.client, self->state.handled);
        } else {
          self->send(self, left - 1);
        }
      },
      // So many at once.
      [self](const caf::actor& client, std::uint32_t count) {
        self->state.client = client;
        self->state.waiting = count;
        for (std::uint32_t i = 0; i < count; ++i) self->send(self, true);
      },
      [self](bool) {
        ++self->state.handled;
        if (--self->state.waiting == 0) self->send(self->state.client, self->state.handled);
      },
  };
}

class Post {
 public:
  Post() : system_(config_.set("scheduler.max-threads", 1)), self_(system_), worker_(system_.spawn(work)) {}
  ~Post() { self_->send_exit(worker_, caf::exit_reason::user_shutdown); }
  Post(const Post&) = delete;
  Post& operator=(const Post&) = delete;

  void run_chain(std::uint64_t count) { run(count); }
  void run_batch(std::uint64_t count) { run(static_cast<std::uint32_t>(count)); }
  std::uint64_t handled() const noexcept { return handled_; }

 private:
  template <typename Count>
  void run(Count count) {
    self_->send(worker_, caf::actor_cast<caf::actor>(self_), count);
    self_->receive([this](std::uint64_t handled) { handled_ = handled; });
  }

  caf::actor_system_config config_;
  caf::actor_system system_;
  caf::scoped_actor self_;
  caf::actor worker_;
  std::uint64_t handled_ = 0;
};

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  benchmark::RegisterBenchmark("post and handle, one after another", post_and_handle_chain<Post>)
      ->MeasureProcessCPUTime();
  benchmark::RegisterBenchmark("post and handle, batch of 1000", post_and_handle_batch<Post>)->MeasureProcessCPUTime();
  return run_benchmarks(argc, argv);
}
