#include <snowfox/core/event.h>

#include <snowfox/core/loop_manager.h>

#include <snowfox/core/type_name.h>

namespace snowfox {

void Event::rescue(std::exception_ptr error) { std::rethrow_exception(std::move(error)); }

std::string_view Event::name() const noexcept { return type_name(typeid(*this)); }

EventDrain& Event::drain() const noexcept {
  if (EventDrain* drain = loop_->drain(drain_id_)) return *drain;
  return loop_->null_drain();
}

}  // namespace snowfox
