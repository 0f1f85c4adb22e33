#include "objects.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "world.h"

namespace snowfox::simulation {

StreamEnd::StreamEnd(Simulation::World& world, Host::State& where, Kind kind, std::size_t room)
    : host(where), world_(world), kind_(kind), room_(room) {
  slow = kind != Kind::Pipe && world_.random.chance(world_.options.faults.slow_link);
}

void StreamEnd::join(const std::shared_ptr<StreamEnd>& one, const std::shared_ptr<StreamEnd>& other) {
  one->peer_ = other;
  other->peer_ = one;
  one->peer_host_ = &other->host;
  other->peer_host_ = &one->host;
}

std::string StreamEnd::describe() const {
  if (kind_ == Kind::Pipe) return "pipe";
  return "connection " + local.str() + (remote ? " with " + remote->str() : "");
}

bool StreamEnd::readable() const { return !connecting_ && (!received_.empty() || ended_ || error_ != 0); }

bool StreamEnd::writable() const {
  if (connecting_) return false;
  if (error_ != 0 || write_ended_ || was_reset_) return true;
  const auto peer = peer_.lock();
  if (!peer) return !peer_silent_;
  return peer->received_.size() + peer->under_way_ < peer->room_;
}

ssize_t StreamEnd::read(char* into, std::size_t most) {
  if (!received_.empty()) {
    const std::size_t count = std::min(most, received_.size());
    std::memcpy(into, received_.data(), count);
    received_.erase(0, count);
    return static_cast<ssize_t>(count);
  }
  if (error_ != 0) return -take_error();
  if (connecting_) return -ENOTCONN;
  return ended_ ? 0 : -EAGAIN;
}

ssize_t StreamEnd::write(std::string_view bytes) {
  if (connecting_) return -EAGAIN;
  if (error_ != 0) return -take_error();
  if (write_ended_ || was_reset_) return -EPIPE;
  const auto peer = peer_.lock();
  if (!peer) {
    if (peer_silent_) return -EAGAIN;
    if (kind_ != Kind::Tcp) return -EPIPE;
    // The bytes are sent; what comes back says that nobody wants them.
    world_.after(world_.latency(host, *peer_host_), [self = weak_from_this()] {
      if (const auto end = self.lock()) end->error_ = ECONNRESET;
    });
    was_reset_ = true;
    return static_cast<ssize_t>(bytes.size());
  }
  const std::size_t taken = peer->received_.size() + peer->under_way_;
  if (taken >= peer->room_) return -EAGAIN;
  std::size_t count = std::min(bytes.size(), peer->room_ - taken);
  if (slow) count = std::min<std::size_t>(count, 1 + world_.random.below(16));
  send({.bytes = std::string(bytes.substr(0, count))});
  return static_cast<ssize_t>(count);
}

void StreamEnd::send(Segment segment) {
  const auto peer = peer_.lock();
  if (!peer) return;
  segment.arrives = world_.now + world_.latency(host, peer->host);
  if (slow) segment.arrives += std::chrono::milliseconds(world_.random.below(20));
  if (!peer->arriving_.empty()) segment.arrives = std::max(segment.arrives, peer->arriving_.back().arrives);
  peer->under_way_ += segment.bytes.size();
  const TimePoint arrives = segment.arrives;
  peer->arriving_.push_back(std::move(segment));
  world_.at(arrives, [end = std::weak_ptr(peer)] {
    if (const auto there = end.lock()) there->arrive();
  });
}

void StreamEnd::arrive() {
  if (arriving_.empty() || arriving_.front().arrives > world_.now) return;
  if (peer_host_ != nullptr && world_.is_cut(host, *peer_host_)) {
    // It is sent again and again until it gets through.
    world_.after(std::chrono::milliseconds(50), [self = weak_from_this()] {
      if (const auto end = self.lock()) end->arrive();
    });
    return;
  }
  while (!arriving_.empty() && arriving_.front().arrives <= world_.now) {
    Segment segment = std::move(arriving_.front());
    arriving_.pop_front();
    under_way_ -= segment.bytes.size();
    if (was_reset_ && segment.error == 0) continue;
    received_ += segment.bytes;
    ended_ = ended_ || segment.end;
    if (segment.error != 0) {
      received_.clear();
      error_ = segment.error;
      was_reset_ = true;
    }
  }
}

std::size_t StreamEnd::undelivered() const noexcept {
  const auto peer = peer_.lock();
  return peer && !was_reset_ ? peer->under_way_ : 0;
}

void StreamEnd::shut_down_writing() {
  if (std::exchange(write_ended_, true)) return;
  send({.end = true});
}

void StreamEnd::reset() {
  if (std::exchange(was_reset_, true)) return;
  received_.clear();
  error_ = ECONNRESET;
  send({.error = ECONNRESET});
}

void StreamEnd::connected(int error) {
  connecting_ = false;
  error_ = error;
}

void StreamEnd::closed(bool silently) {
  if (silently) {
    if (const auto peer = peer_.lock()) {
      peer->peer_silent_ = true;
      peer->peer_.reset();
    }
    return;
  }
  if (was_reset_) return;
  // What was sent and will never be read is lost, and the sender told so (tcp(7), unix(7)).
  if (!received_.empty() || under_way_ != 0) {
    send({.error = ECONNRESET});
  } else if (!write_ended_) {
    send({.end = true});
  }
}

void Listener::closed(bool silently) {
  for (const auto& end : waiting) {
    if (!silently) end->reset();
    end->closed(silently);
  }
  waiting.clear();
}

bool ProcessHandle::readable() const {
  const Process::State* process = world_.process(pid);
  return process == nullptr || process->exit_code.has_value();
}

}  // namespace snowfox::simulation
