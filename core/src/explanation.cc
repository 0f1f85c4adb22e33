#include <snowfox/core/explanation.h>

#include <algorithm>
#include <iterator>
#include <new>

#include <fmt/format.h>

namespace snowfox {
namespace {

bool older(const Explanation::Wait& left, const Explanation::Wait& right) noexcept { return left.since < right.since; }

}  // namespace

std::string_view to_string(StepKind kind) noexcept {
  switch (kind) {
    case StepKind::Received: return "received";
    case StepKind::Failed: return "failed";
    case StepKind::Handled: return "handled";
    case StepKind::Kept: return "kept";
    case StepKind::Enqueued: return "enqueued";
    case StepKind::Flushed: return "flushed";
    case StepKind::Dropped: return "dropped";
    case StepKind::Fulfilled: return "fulfilled";
    case StepKind::Rejected: return "rejected";
    case StepKind::TimedOut: return "timed out";
    case StepKind::Abandoned: return "abandoned";
    case StepKind::Orphaned: return "orphaned";
  }
  return "unknown";
}

void Explanation::add(const Wait& wait) noexcept {
  try {
    waits_.push_back(wait);
  } catch (const std::bad_alloc&) {
    ++dropped_waits_;
  }
  if (waits_.size() < 2 * kMostWaits) return;
  const auto most = std::next(waits_.begin(), kMostWaits);
  std::nth_element(waits_.begin(), most, waits_.end(), older);
  dropped_waits_ += waits_.size() - kMostWaits;
  waits_.erase(most, waits_.end());
}

void Explanation::add(const Step& step) noexcept try { steps_.push_back(step); } catch (const std::bad_alloc&) {
  // The others tell enough.
}

std::vector<Explanation::Wait> Explanation::waits() const {
  std::vector<Wait> oldest = waits_;
  std::sort(oldest.begin(), oldest.end(), older);
  if (oldest.size() > kMostWaits) oldest.erase(std::next(oldest.begin(), kMostWaits), oldest.end());
  return oldest;
}

std::size_t Explanation::omitted_waits() const {
  return dropped_waits_ + waits_.size() - std::min(waits_.size(), kMostWaits);
}

std::string Explanation::str() const {
  std::string text;
  for (const Wait& wait : waits()) {
    text += text.empty() ? "" : "; ";
    if (id_.empty()) text += fmt::format("'{}' ", wait.id.text());
    text += fmt::format("waits for {} since {}, ", wait.what, readable(now_ - wait.since));
    text += wait.deadline == kNever ? "without a deadline" : fmt::format("for {} more", readable(wait.deadline - now_));
  }
  if (const std::size_t more = omitted_waits(); more != 0) text += fmt::format("; and {} more", more);
  const char* separator = text.empty() ? "" : "; ";
  for (const Step& step : steps_) {
    text += fmt::format("{}{}", separator, to_string(step.kind));
    separator = ", ";
    if (step.bytes != 0) text += fmt::format(" {} bytes", step.bytes);
    if (&step != &steps_.front()) text += " " + readable(step.at - steps_.front().at);
  }
  return text;
}

}  // namespace snowfox
