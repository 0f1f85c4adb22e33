#include "soak/watch.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "load/process_usage.h"

namespace snowfox::soak {
namespace {

constexpr std::size_t kLeastWindows = 6;
constexpr std::size_t kMoreBytes = 2U << 20;
constexpr std::size_t kMoreDescriptors = 2;
constexpr double kMedianRatio = 5;
constexpr double kPercentile99Ratio = 10;

double median(std::vector<double> all) {
  if (all.empty()) return 0;
  const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
  std::nth_element(all.begin(), middle, all.end());
  return *middle;
}

}  // namespace

Watch::Watch(std::vector<Process> processes) : processes_(std::move(processes)), current_(processes_.size()) {}

void Watch::sample() {
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    current_[i].bytes = std::min(current_[i].bytes, resident_bytes(processes_[i].pid));
    current_[i].descriptors = std::min(current_[i].descriptors, descriptors_of(processes_[i].pid));
  }
}

std::string Watch::end_window(const std::vector<Latencies*>& latencies) {
  sample();
  Window window{std::exchange(current_, std::vector<Usage>(processes_.size())), {}};
  std::string line;
  for (Latencies* one : latencies) {
    window.delays.push_back({one->percentile(50), one->percentile(99)});
    line += fmt::format("{:7} answers, p50 {:5.0f} us, p99 {:6.0f} us; ", one->count(), window.delays.back().median,
                        window.delays.back().percentile99);
    one->clear();
  }
  line += "KiB";
  for (const Usage& usage : window.usages) line += fmt::format(" {}", usage.bytes / 1024);
  line += ", descriptors";
  for (const Usage& usage : window.usages) line += fmt::format(" {}", usage.descriptors);
  windows_.push_back(std::move(window));
  return line;
}

// A tenth is for warming up.
Watch::Thirds Watch::thirds() const noexcept {
  const std::size_t first = (windows_.size() + 9) / 10;
  return {first, (windows_.size() - first) / 3};
}

Watch::Usage Watch::least(std::size_t process, std::size_t first, std::size_t count) const {
  Usage least;
  for (std::size_t i = first; i < first + count; ++i) {
    least.bytes = std::min(least.bytes, windows_[i].usages[process].bytes);
    least.descriptors = std::min(least.descriptors, windows_[i].usages[process].descriptors);
  }
  return least;
}

Watch::Delay Watch::typical(std::size_t kind, std::size_t first, std::size_t count) const {
  std::vector<double> medians, percentiles;
  for (std::size_t i = first; i < first + count; ++i) {
    medians.push_back(windows_[i].delays[kind].median);
    percentiles.push_back(windows_[i].delays[kind].percentile99);
  }
  return {median(std::move(medians)), median(std::move(percentiles))};
}

std::vector<std::string> Watch::drifts() const {
  if (windows_.size() < kLeastWindows) return {};
  const auto [first, count] = thirds();
  const std::size_t last = windows_.size() - count;
  std::vector<std::string> all;
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    const Usage before = least(i, first, count);
    const Usage after = least(i, last, count);
    if (after.bytes > before.bytes + std::max(kMoreBytes, before.bytes / 10)) {
      all.push_back(fmt::format("{}: memory grew from {} to {} KiB", processes_[i].name, before.bytes / 1024,
                                after.bytes / 1024));
    }
    if (after.descriptors > before.descriptors + kMoreDescriptors) {
      all.push_back(
          fmt::format("{}: descriptors grew from {} to {}", processes_[i].name, before.descriptors, after.descriptors));
    }
  }
  for (std::size_t i = 0; i < windows_.front().delays.size(); ++i) {
    const Delay before = typical(i, first, count);
    const Delay after = typical(i, last, count);
    if (after.median > before.median * kMedianRatio || after.percentile99 > before.percentile99 * kPercentile99Ratio) {
      all.push_back(fmt::format("answers of kind {} came slower: p50 {:.0f} to {:.0f} us, p99 {:.0f} to {:.0f} us",
                                i + 1, before.median, after.median, before.percentile99, after.percentile99));
    }
  }
  return all;
}

std::string Watch::summary() const {
  if (windows_.size() < kLeastWindows) return "too short to tell a drift\n";
  const auto [first, count] = thirds();
  const std::size_t last = windows_.size() - count;
  std::string text = fmt::format("{:20} {:>12} {:>12} {:>14} {:>14}\n", "least of", "KiB, early", "KiB, late",
                                 "open, early", "open, late");
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    const Usage before = least(i, first, count);
    const Usage after = least(i, last, count);
    text += fmt::format("{:20} {:12} {:12} {:14} {:14}\n", processes_[i].name, before.bytes / 1024, after.bytes / 1024,
                        before.descriptors, after.descriptors);
  }
  for (std::size_t i = 0; i < windows_.front().delays.size(); ++i) {
    const Delay before = typical(i, first, count);
    const Delay after = typical(i, last, count);
    text += fmt::format("{}: p50 {:.0f} us early, {:.0f} us late; p99 {:.0f} us early, {:.0f} us late\n",
                        i == 0 ? "node" : "echo", before.median, after.median, before.percentile99, after.percentile99);
  }
  return text;
}

}  // namespace snowfox::soak
