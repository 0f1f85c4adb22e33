#pragma once

#include <exception>
#include <string>
#include <string_view>

#include <snowfox/core/event.h>

#include "totals.h"

namespace tally {

/// A datagram has come: what it tells is added to the totals and goes into the journal.
class CountReceived final : public snowfox::Event {
 public:
  /// `totals` must outlive the event.
  CountReceived(Totals& totals, std::string_view datagram, const snowfox::CorrelationId& id, snowfox::DrainId journal)
      : Event(id, journal), totals_(totals), datagram_(datagram) {}

  void handle() override;
  void rescue(std::exception_ptr error) override;

 private:
  Totals& totals_;
  std::string datagram_;
};

}  // namespace tally
