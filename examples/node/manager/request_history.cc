#include "manager/request_history.h"

#include <algorithm>
#include <cctype>
#include <string>

#include <fmt/format.h>

#include "protocol/common.pb.h"

namespace snowfox::node {
namespace {

/// As the payload is called: service_start.
std::string name_of(public_api::Code code) {
  std::string name = public_api::Code_Name(code);
  if (name.empty()) return fmt::format("code {}", static_cast<int>(code));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  return name;
}

std::string name_of_error(int error) {
  return error == 0 ? std::string() : ErrorCode_Name(static_cast<ErrorCode>(error));
}

template <typename Unit>
std::uint64_t count(auto duration) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(std::chrono::duration_cast<Unit>(duration).count(), 0));
}

}  // namespace

void RequestHistory::began(const CorrelationId& id, public_api::Code code) noexcept {
  ring_[noted_++ % kMost] = {.id = id, .code = code, .began = loop_.now(), .wall = loop_.poller().wall_now()};
}

void RequestHistory::answered(const CorrelationId& id, int error) noexcept {
  for (std::size_t i = known(); i-- > 0;) {
    auto& request = ring_[(noted_ - known() + i) % kMost];
    if (request.answered || request.id != id) continue;
    request.answered = true;
    request.error = error;
    request.took = loop_.now() - request.began;
    return;
  }
}

void RequestHistory::list(const CorrelationId& except, public_api::Trace& trace) const {
  for (std::size_t i = known() - std::min(known(), kMostListed); i < known(); ++i) {
    const Request& request = at(i);
    if (request.id == except) continue;
    auto& told = *trace.add_requests();
    told.set_id(request.id.str());
    told.set_request(name_of(request.code));
    told.set_time_us(count<std::chrono::microseconds>(request.wall.time_since_epoch()));
    told.set_took_us(count<std::chrono::microseconds>(request.answered ? request.took : loop_.now() - request.began));
    told.set_answered(request.answered);
    told.set_error(name_of_error(request.error));
  }
}

void RequestHistory::find(const CorrelationId& id, public_api::Trace& trace) const {
  const auto add = [&](const Request& request, Duration after, std::string_view text) -> TraceLine& {
    TraceLine& line = *trace.add_lines();
    line.set_process("snow-fox-manager");
    line.set_pid(loop_.io().process_id());
    line.set_time_us(count<std::chrono::microseconds>(request.wall.time_since_epoch() + after));
    line.set_monotonic_ns(count<std::chrono::nanoseconds>((request.began + after).time_since_epoch()));
    line.set_level("info");
    line.set_component("api");
    line.set_text(std::string(text));
    return line;
  };
  const auto add_field = [](TraceLine& line, const char* name, std::string value) {
    auto& field = *line.add_fields();
    field.set_name(name);
    field.set_value(std::move(value));
  };
  for (std::size_t i = 0; i < known(); ++i) {
    const Request& request = at(i);
    if (request.id != id) continue;
    add_field(add(request, Duration::zero(), "request received"), "request", name_of(request.code));
    if (!request.answered) continue;
    TraceLine& line = add(request, request.took, "request answered");
    if (request.error != 0) add_field(line, "error", name_of_error(request.error));
  }
}

}  // namespace snowfox::node
