#include <snowfox/sources/worker_source.h>

#include <cerrno>
#include <system_error>

#include <snowfox/core/fault_point.h>
#include <snowfox/core/loop_manager.h>

namespace snowfox {

WorkerSource::WorkerSource(LoopManager& loop, std::size_t limit) : EventSource(loop), limit_(limit) {}

WorkerSource::~WorkerSource() { abandon_all(); }

void WorkerSource::start(std::unique_ptr<Job> job) {
  if (SNOWFOX_FAULT(WorkerStart)) throw std::system_error(EAGAIN, std::system_category(), "start work");
  job->source_ = this;
  loop().poller().submit(*job);
  begun_.push_back(*job.release());
  ++outstanding_;
}

void WorkerSource::Job::done() noexcept {
  if (source_ == nullptr) {
    delete this;
    return;
  }
  unlink();
  source_->finished_.push_back(*this);
  source_->ready();
}

EventRef WorkerSource::parse() {
  if (finished_.empty()) return nullptr;
  EventRef event(&finished_.pop_front());
  --outstanding_;
  return event;
}

void WorkerSource::abandon_all() noexcept {
  while (!finished_.empty()) delete &finished_.pop_front();
  while (!begun_.empty()) {
    Job& job = begun_.pop_front();
    job.source_ = nullptr;
    job.abandoned_.store(true, std::memory_order_relaxed);
    job.forget();
  }
  outstanding_ = 0;
}

std::string WorkerSource::name() const { return "worker, " + std::to_string(outstanding_) + " outstanding"; }

}  // namespace snowfox
