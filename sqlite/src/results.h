#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include <snowfox/core/event_source.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/sqlite/sqlite_call.h>

namespace snowfox {

/// Brings what is through back to the loop, each call as an event, within the share of a turn. Once the loop ends no
/// source is asked any more, and results are given at once.
class Results final : public EventSource {
 public:
  /// `on_all_given` is called when the last result has been given.
  Results(LoopManager& loop, std::string name, std::function<void()> on_all_given);
  ~Results() override;

  /// Takes `call` over.
  void add(SqliteCall& call) noexcept;
  bool empty() const noexcept { return calls_.empty(); }

  /// At once.
  void give_all() noexcept;

  EventRef parse() override;
  std::string name() const override { return name_; }

 private:
  void on_stopping() noexcept override { give_all(); }
  void on_removed() noexcept override { give_all(); }

  IntrusiveList<SqliteCall, SqliteCall> calls_;  // owned
  IntrusiveList<SqliteCall, SqliteCall> given_;  // borrowed: events that others hold
  std::string name_;
  std::function<void()> on_all_given_;
};

}  // namespace snowfox
