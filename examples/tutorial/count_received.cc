#include "count_received.h"

#include <fmt/format.h>

#include <utility>

#include <snowfox/core/event_drain.h>
#include <snowfox/core/loop_manager.h>

#include "datagram_source.h"

namespace tally {

void CountReceived::handle() {
  if (datagram_.size() > DatagramSource::kMaxBytes) throw BadCount("longer than 512 bytes");
  const Count count = parse_count(datagram_);
  totals_.add(count);
  drain().enqueue(fmt::format("{}:{}\n", count.name, count.value));
}

void CountReceived::rescue(std::exception_ptr error) try {
  std::rethrow_exception(std::move(error));
} catch (const BadCount& bad) {
  loop().log().warning("tally", "datagram ignored", {{"why", bad.what()}, {"datagram", datagram_}}, correlation_id());
}

}  // namespace tally
