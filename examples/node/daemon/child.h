#pragma once

#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>
#include <snowfox/promises/sleep.h>
#include <snowfox/promises/task.h>
#include <snowfox/sources/process_source.h>

#include "common/duration.h"
#include "common/link.h"
#include "common/trace_recorder.h"

namespace snowfox::node {

/// A child cannot start, or has ended.
class ChildFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One of the daemon's two children: its process, and the link to it. `Message` is the link's. It may be started again
/// when it has ended.
///
/// Once it is ready it is asked again and again whether it still lives; one that hangs is killed, and so ends.
template <typename Message>
class Child {
 public:
  /// Called when the child has said that it is ready: it may be told something. Before that it may be about to end, and
  /// what it is sent then would hide what it says last.
  using OnReady = std::function<void()>;
  /// Called with what it says or asks besides; false if that makes no sense.
  using OnTold = std::function<bool(MessageEvent<Message>&)>;

  /// `recorder` is whose lines the child may ask for; `patience` is how long it may leave a question without an answer,
  /// zero: for ever.
  Child(LoopManager& loop, std::string name, const TraceRecorder& recorder, Duration patience, OnReady on_ready,
        OnTold on_told)
      : loop_(loop),
        name_(std::move(name)),
        recorder_(recorder),
        patience_(patience),
        on_ready_(std::move(on_ready)),
        on_told_(std::move(on_told)),
        link_(
            loop, name_, [this](MessageEvent<Message>& event) { asked(event); },
            [this](std::error_code reason) {
              // The end of the process, which says more, is normally there already or comes at once.
              loop_.log().debug("daemon", "link closed", {{"child", name_}, {"reason", reason.message()}});
            }) {}

  /// Starts the program; the promise is settled when it says that it is ready, or has ended before.
  /// Throws std::system_error if it cannot be started.
  Promise<void> start(const ProcessOptions& options) {
    auto [promise, resolver] = make_promise<void>(loop_);
    ready_ = std::move(resolver);
    last_words_ = {};
    killed_because_.clear();
    link_.close();
    process_ = std::make_unique<ProcessSource>(loop_, options, [this](const ProcessExit& exit) { ended(exit); });
    began_ = loop_.now();
    loop_.log().info("daemon", "child started", {{"child", name_}, {"pid", pid()}});
    return std::move(promise);
  }
  /// How it ends, which it was not asked to: of one that is running, or has ended since it was started. Rejected never.
  Promise<std::string> failure() {
    auto [promise, resolver] = make_promise<std::string>(loop_);
    failed_ = std::move(resolver);
    if (!running()) failed_.resolve(how_it_ended_);
    return std::move(promise);
  }
  /// Asks the child to end in order, as soon as there is a link to it; under `id`.
  void shut_down(Duration timeout, const CorrelationId& id) {
    looking_ = {};
    shutdown_ = make_message<Message>(Message::kShutdown, id);
    ending_ = id;
    shutdown_->mutable_shutdown();
    shutdown_->set_timeout_ms(
        static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::milliseconds>(timeout).count()));
    link_.send(*shutdown_);
  }
  /// Settled when the process has ended. Must be running; the last one asked for counts.
  Promise<void> end_of_process() {
    auto [promise, resolver] = make_promise<void>(loop_);
    ended_ = std::move(resolver);
    return std::move(promise);
  }
  /// Ends the process with SIGKILL.
  void kill() {
    if (!running()) return;
    loop_.log().warning("daemon", "child killed: it did not end in time", {{"child", name_}, {"pid", pid()}}, ending_);
    process_->signal(SIGKILL);
  }

  const std::string& name() const noexcept { return name_; }
  bool running() const noexcept { return process_ != nullptr; }
  pid_t pid() const noexcept { return process_ ? process_->pid() : 0; }
  /// How long it ran, or has been running.
  Duration lived() const noexcept { return (running() ? loop_.now() : ended_at_) - began_; }
  Link<Message>& link() noexcept { return link_; }

  /// Takes a connection that the child has made.
  void connected(const ChannelRef& channel) {
    link_.close();
    link_.open(channel);
    if (shutdown_) link_.send(*shutdown_);
  }

 private:
  void asked(MessageEvent<Message>& event) {
    if (event.message().has_ready()) {
      loop_.log().info("daemon", "child ready", {{"child", name_}, {"pid", pid()}}, event.correlation_id());
      on_ready_();
      if (patience_ > Duration::zero()) looking_ = look_after().promise(loop_);
      if (ready_.wanted()) ready_.resolve();
    } else if (event.message().has_start_failed()) {
      // Its process ends, too; but this says why.
      if (ready_.wanted())
        ready_.reject(ChildFailed(name_ + " cannot start: " + event.message().start_failed().text()));
    } else {
      answer_others(event);
    }
  }
  void answer_others(MessageEvent<Message>& event) {
    if constexpr (requires { event.message().trace_request(); }) {
      if (event.message().has_trace_request()) return answer_trace(event, recorder_);
    }
    if (on_told_(event)) return;
    event.answer(make_refusal<Message>(event.correlation_id(), not_a_request(event.message())));
  }

  // Of the time it has, a quarter is for a second question: whoever was stopped together with us, for however long,
  // answers that one.
  Task<> look_after() {
    for (;;) {
      co_await sleep(loop_, patience_ / 4);
      bool alive = co_await answers(patience_ * 3 / 4);
      if (!alive) alive = co_await answers(patience_ / 4);
      if (alive) continue;
      killed_because_ = "killed: it did not answer for " + to_text(patience_);
      loop_.log().error("daemon", "child killed: it does not answer",
                        {{"child", name_}, {"pid", pid()}, {"waited", to_text(patience_)}});
      process_->signal(SIGKILL);
      co_return;
    }
  }
  Promise<bool> answers(Duration within) {
    // Its end is being told.
    if (!link_.is_open()) return sleep(loop_, within).then([] { return false; });
    auto ping = make_message<Message>(Message::kPing, {});
    ping.mutable_ping();
    return link_.ask(std::move(ping), {.deadline = within})
        .then([](const Message&) { return true; })
        .otherwise([](const std::exception_ptr&) { return false; });
  }
  void ended(const ProcessExit& exit) {
    loop_.log().write(shutdown_ && exit.success() ? LogLevel::Info : LogLevel::Error, "daemon", "child ended",
                      {{"child", name_}, {"pid", exit.pid}, {"how", exit.str()}}, ending_);
    looking_ = {};
    process_.reset();
    ended_at_ = loop_.now();
    how_it_ended_ = killed_because_.empty() ? exit.str() : killed_because_;
    if (ready_.wanted() && link_.is_open() && !ended_.wanted()) {
      // It may have said why, in what is still to be read.
      last_words_ = sleep(loop_, std::chrono::milliseconds(200)).then([this, exit] { over(exit); });
      return;
    }
    over(exit);
  }
  void over(const ProcessExit& exit) {
    link_.close();
    if (ended_.wanted()) {
      ended_.resolve();
    } else if (ready_.wanted()) {
      ready_.reject(ChildFailed(name_ + " ended before it was ready: " + exit.str()));
    } else if (!shutdown_ && failed_.wanted()) {
      failed_.resolve(how_it_ended_);
    }
  }

  LoopManager& loop_;
  std::string name_;
  const TraceRecorder& recorder_;
  Duration patience_;
  OnReady on_ready_;
  OnTold on_told_;
  Link<Message> link_;
  std::unique_ptr<ProcessSource> process_;
  Resolver<void> ready_;
  Resolver<void> ended_;
  Resolver<std::string> failed_;
  TimePoint began_{};
  TimePoint ended_at_{};
  std::string how_it_ended_;
  std::string killed_because_;
  Promise<void> looking_;
  Promise<void> last_words_;
  std::optional<Message> shutdown_;  // set once it was asked to end
  CorrelationId ending_;             // under which
};

}  // namespace snowfox::node
