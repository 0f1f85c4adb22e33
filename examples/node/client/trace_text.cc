#include "client/trace_text.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "client/message_text.h"

namespace snowfox::node {
namespace {

using public_api::RecentRequest;
using public_api::Trace;
using public_api::TracePart;

/// What no clock shows: what a node tells must not overflow. The year is 2286.
constexpr std::uint64_t kLatestUs = 10'000'000'000'000'000;

std::string utc(std::uint64_t time_us) {
  constexpr std::uint64_t kSecond = 1'000'000;
  const std::uint64_t time = std::min(time_us, kLatestUs);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", fmt::gmtime(static_cast<std::time_t>(time / kSecond)),
                     time % kSecond);
}

std::string milliseconds(std::uint64_t nanoseconds) {
  constexpr std::uint64_t kMicrosecond = 1000;
  const std::uint64_t us = nanoseconds / kMicrosecond;
  return fmt::format("{}.{:03} ms", us / 1000, us % 1000);
}

std::string process_of(const TraceLine& line) { return fmt::format("{}[{}]", printable(line.process()), line.pid()); }

std::string text_of(const TraceLine& line) {
  std::string text = fmt::format("{}: {}", printable(line.component()), printable(line.text()));
  for (const TraceField& field : line.fields()) {
    const bool plain = !field.value().empty() && field.value().find(' ') == std::string::npos;
    text +=
        fmt::format(" {}={}", printable(field.name()), plain ? printable(field.value()) : json_string(field.value()));
  }
  return text;
}

std::string timeline(const Trace& trace, std::string_view id) {
  if (trace.lines().empty()) return fmt::format("nothing is known of the request {}\n", printable(id));
  std::uint64_t began = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t ended = 0;
  std::size_t width = 0;
  for (const TraceLine& line : trace.lines()) {
    began = std::min(began, line.monotonic_ns());
    ended = std::max(ended, line.monotonic_ns());
    width = std::max(width, process_of(line).size());
  }
  std::string text =
      fmt::format("{} at {}, within {}\n", printable(id), utc(trace.lines(0).time_us()), milliseconds(ended - began));
  const std::size_t times = milliseconds(ended - began).size() + 1;
  for (const TraceLine& line : trace.lines()) {
    text += fmt::format("  {:>{}}  {:<{}}  {:<8}  {}\n", "+" + milliseconds(line.monotonic_ns() - began), times,
                        process_of(line), width, printable(line.level()), text_of(line));
  }
  for (const TracePart& part : trace.parts()) {
    if (!part.missing().empty()) {
      text += fmt::format("  {} is missing: {}\n", printable(part.process()), printable(part.missing()));
    }
    if (part.omitted_lines() != 0) {
      text += fmt::format("  {} has {} older lines besides\n", printable(part.process()), part.omitted_lines());
    }
  }
  return text;
}

std::string outcome(const RecentRequest& request) {
  if (!request.answered()) return "not answered yet";
  return request.error().empty() ? "done" : printable(request.error());
}

std::string latest(const Trace& trace) {
  if (trace.requests().empty()) return "there were no requests\n";
  std::size_t ids = 0;
  std::size_t names = 0;
  for (const RecentRequest& request : trace.requests()) {
    ids = std::max(ids, request.id().size());
    names = std::max(names, request.request().size());
  }
  std::string text;
  for (const RecentRequest& request : trace.requests()) {
    text += fmt::format("{}  {:<{}}  {:<{}}  {:>14}  {}\n", utc(request.time_us()), printable(request.id()), ids,
                        printable(request.request()), names,
                        milliseconds(std::min(request.took_us(), kLatestUs) * 1000), outcome(request));
  }
  return text;
}

}  // namespace

std::string trace_text(const Trace& trace, std::string_view id) {
  return id.empty() ? latest(trace) : timeline(trace, id);
}

}  // namespace snowfox::node
