#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/id.h>
#include <snowfox/core/intrusive_list.h>

namespace snowfox {

class LoopManager;

/// How much may wait in a drain, in bytes, and for how long. The bytes are the loop's to act on; `stall_timeout` is the
/// drain's own to keep, as StreamDrain does.
struct Watermarks {
  std::size_t high = 1U << 20;   ///< above: the sources bound to the drain are paused
  std::size_t low = 256U << 10;  ///< at or below: they are resumed
  /// Above, when it has been flushed: the drain fails with Errc::DrainOverflow. Within a turn, enqueue() may refuse.
  std::size_t hard_limit = 64U << 20;
  /// Data has waited this long and none of it was taken: the drain is closed with Errc::DrainStalled.
  Duration stall_timeout = std::chrono::seconds(30);
};

/// Where output goes. enqueue() only keeps it; the loop calls flush() once at the end of the turn, and again when the
/// kernel can take more. While more waits than the high watermark, the sources bound to the drain are paused.
///
/// A drain belongs to the loop it was made with from construction to destruction. Either its maker owns it, or the loop
/// does, by LoopManager::add.
class EventDrain : public ListNode<EventDrain> {
 public:
  virtual ~EventDrain();
  EventDrain(const EventDrain&) = delete;
  EventDrain& operator=(const EventDrain&) = delete;

  /// Takes a copy of `bytes`, to be written in the order of the calls. Never writes, never blocks. On a drain that is
  /// closed they are dropped and counted.
  virtual void enqueue(std::span<const std::byte> bytes) = 0;
  void enqueue(std::string_view text) { enqueue(std::as_bytes(std::span(text.data(), text.size()))); }

  /// Writes what it can. True if nothing is left to write; if something is, the drain has seen to it that it is called
  /// again, normally by watching its channel for writability.
  virtual bool flush() = 0;

  /// Nothing is left to write, and what was written would outlive the closing of its descriptor. The loop does not end
  /// before, within LoopOptions::flush_timeout.
  virtual bool delivered() const noexcept { return empty(); }

  /// The descriptor it writes to, or -1 if it does not write to one.
  virtual int fd() const noexcept { return -1; }
  /// What status and log lines call it. Made when asked for.
  virtual std::string name() const = 0;

  DrainId id() const noexcept { return id_; }
  LoopManager& loop() const noexcept { return loop_; }
  std::size_t pending_bytes() const noexcept { return pending_bytes_; }
  bool empty() const noexcept { return pending_bytes_ == 0; }
  /// So much it has got rid of in all.
  std::uint64_t flushed_bytes() const noexcept { return flushed_bytes_; }
  /// Above the high watermark, and not yet back at the low one.
  bool congested() const noexcept { return congested_; }

  /// Pauses `source` while this drain is congested. Binding twice is binding once; a source that is gone is forgotten.
  void bind(SourceId source);
  void unbind(SourceId source) noexcept;

  const Watermarks& watermarks() const noexcept { return *watermarks_; }

  /// Nothing more will be enqueued but what a DrainLease promises: the loop removes the drain when it is empty and no
  /// lease is out. A drain whose descriptor must stay open longer, so that nothing is lost, stays with it.
  void close_when_empty() noexcept;

 protected:
  /// `watermarks` is borrowed and must outlive the drain; many drains share one. Null: the loop's own, which are the
  /// defaults.
  explicit EventDrain(LoopManager& loop, const Watermarks* watermarks = nullptr);

  /// More waits than before: to be flushed at the end of the turn.
  void added(std::size_t bytes) noexcept;
  /// What was added last, so many bytes, is a message that goes by `id`.
  void added_message(const CorrelationId& id, std::size_t bytes) noexcept;
  /// So much of what waited was written.
  void removed(std::size_t bytes) noexcept;
  /// What waits will never be written.
  void dropped() noexcept;
  /// So much was to be enqueued and is not taken.
  void refused(std::size_t bytes) noexcept;

  /// More was to be enqueued than its hard limit allows: from now on nothing is taken.
  bool overflown() const noexcept { return overflown_; }
  void set_overflown() noexcept { overflown_ = true; }

 private:
  friend class Channel;
  friend class DrainLease;
  friend class LoopManager;

  /// It is to close when empty, and is. True if it may be removed now; otherwise it removes itself later.
  virtual bool may_go() noexcept { return true; }
  /// Its descriptor can be written: by default flushed at the end of the turn.
  virtual void on_writable() noexcept;
  /// Nothing will be asked of it any more: it is to let go of what it watches.
  virtual void on_removed() noexcept {}
  /// More than its hard limit waits though it was flushed, or flush() has thrown; the log has told which. By default
  /// the loop removes it.
  virtual void fail(std::error_code error) noexcept;

  void set_congested(bool congested) noexcept;
  /// The sources it pauses; kNoSource and those that are gone may be among them.
  std::span<const SourceId> bound() const noexcept;

  LoopManager& loop_;
  DrainId id_ = kNoDrain;
  const Watermarks* watermarks_;
  std::size_t pending_bytes_ = 0;
  std::uint64_t flushed_bytes_ = 0;
  union {
    SourceId bound_ = kNoSource;            // most drains have one
    std::vector<SourceId>* several_bound_;  // if has_several_bound_: owned
  };
  std::uint32_t leases_ : 24 = 0;
  bool congested_ : 1 = false;
  bool closing_ : 1 = false;  // goes when empty
  bool owned_ : 1 = false;    // by the loop
  bool has_several_bound_ : 1 = false;
  bool overflown_ : 1 = false;
};

/// Says that an answer is still to come: a drain that is to close when empty stays open until then. It goes by the
/// drain's id, so either may go first; the loop must outlive it.
class DrainLease {
 public:
  DrainLease() = default;
  explicit DrainLease(EventDrain& drain) noexcept;
  DrainLease(DrainLease&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)), id_(other.id_) {}
  DrainLease& operator=(DrainLease&& other) noexcept {
    std::swap(loop_, other.loop_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~DrainLease();

  /// The drain, or null if it is gone.
  EventDrain* drain() const noexcept;

 private:
  LoopManager* loop_ = nullptr;
  DrainId id_ = kNoDrain;
};

}  // namespace snowfox
