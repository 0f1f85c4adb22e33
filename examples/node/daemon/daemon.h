#pragma once

#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <snowfox/context/inherited_listeners.h>
#include <snowfox/core/clock.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>
#include <snowfox/promises/task.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/orphan_reaper.h>

#include "common/backoff.h"
#include "common/command_line.h"
#include "common/run_directory.h"
#include "common/trace_recorder.h"
#include "daemon/child.h"
#include "daemon/identity.h"
#include "daemon/listening_socket.h"
#include "protocol/daemon_manager.pb.h"
#include "protocol/daemon_spawner.pb.h"

namespace snowfox::node {

struct DaemonOptions {
  std::string configuration;  ///< the path of the file or directory, absolute
  std::string programs;       ///< the directory in which the other programs are
  Identity manager;
  LogOptions log;
  Duration start_timeout = std::chrono::seconds(30);     ///< for each child to say that it is ready
  Duration shutdown_timeout = std::chrono::seconds(10);  ///< for all children together to end
  Duration answer_timeout = std::chrono::seconds(30);    ///< then a child that does not answer is killed; zero: never
};

/// The life of a node: starts the spawner and then the manager, keeps both while it runs, ends them in the opposite
/// order. One that ends without having been asked to is started again, after a while that grows each time; only one
/// that cannot be started several times running, or at the very beginning, ends the node.
class Daemon {
 public:
  /// Settled when the node has ended: with the exit code.
  struct Ended {
    int exit_code = 0;
    std::string reason;  ///< if it is not 0
  };
  using OnReady = std::function<void()>;
  using OnStatus = std::function<void(const std::string&)>;

  /// In `directory`, of which the children are given the `lock`, a descriptor; -1: none. `inherited` are sockets for
  /// clients that are open already: the public one if it is among them, and what the configuration names. `loop` must
  /// outlive it.
  Daemon(LoopManager& loop, const RunDirectory& directory, int lock, DaemonOptions options,
         InheritedListeners inherited = {});

  /// Calls `on_status` with a line for people whenever it is another: how the node is.
  void on_status(OnStatus on_status) { on_status_ = std::move(on_status); }

  /// Lives. Once; `on_ready` is called when clients are served.
  Promise<Ended> run(OnReady on_ready);
  /// Begins to end; run()'s promise tells when it has.
  void end();
  /// Called in place of end() when a client asks for the end of the node.
  void on_end_asked(std::function<void()> on_end_asked) { on_end_asked_ = std::move(on_end_asked); }
  /// Whether it is the process of one of its children.
  bool is_child(pid_t pid) const noexcept;
  /// A process has ended whose parent had died before: the spawner may know it.
  void orphan_exited(const OrphanReaper::Orphan& orphan);
  /// Has the manager read the configuration again. Settled when that is done, or the log has been told why it is not.
  Promise<void> reload();

 private:
  Task<Ended> live(OnReady on_ready);
  Task<> start(OnReady on_ready);
  template <typename Message>
  Task<> stop(Child<Message>& child, TimePoint deadline, const CorrelationId& id);
  template <typename Message>
  Task<> await_end(Child<Message>& child, Duration patience);
  template <typename Message>
  Task<> keep(Child<Message>& child, const ListeningSocket& listener, daemon_manager::ChildHistory& history);
  template <typename Message>
  Task<> start_again(Child<Message>& child, const ListeningSocket& listener, Backoff& backoff, std::string failure);
  template <typename Message>
  Promise<void> start(Child<Message>& child, const ListeningSocket& listener);
  Promise<void> wait(Promise<void> what);
  void interrupt(std::exception_ptr reason);
  void connected(const ChannelRef& channel);
  void tell_spawner();
  void tell_of_orphan(const OrphanReaper::Orphan& orphan);
  void tell_manager();
  bool told(MessageEvent<daemon_manager::Message>& event);
  void say(const std::string& status);

  LoopManager& loop_;
  TraceRecorder recorder_;
  RunDirectory directory_;
  int lock_;
  DaemonOptions options_;
  InheritedListeners inherited_;
  ListeningSocket daemon_socket_;
  ListeningSocket spawner_socket_;
  ListeningSocket public_socket_;
  ListenerSource listener_;
  Child<daemon_spawner::Message> spawner_;
  Child<daemon_manager::Message> manager_;
  daemon_manager::Supervision history_;
  OnStatus on_status_;
  std::string node_status_;                   // as the manager says
  std::deque<OrphanReaper::Orphan> orphans_;  // that ended lately; the spawner may not have been there
  std::exception_ptr interruption_;           // why it ends, once it does
  Resolver<void> interrupted_;
  std::function<void()> on_end_asked_ = [this] { end(); };
};

}  // namespace snowfox::node
