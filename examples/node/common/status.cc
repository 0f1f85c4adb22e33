#include "common/status.h"

#include <utility>

namespace snowfox::node {

Status make_status(Status::Colour colour, std::string reason) {
  Status status;
  status.set_colour(colour);
  status.set_reason(std::move(reason));
  return status;
}

int badness(Status::Colour colour) noexcept {
  switch (colour) {
    case Status::Green: return 0;
    case Status::Yellow: return 2;
    case Status::Red: return 3;
    default: return 1;
  }
}

}  // namespace snowfox::node
