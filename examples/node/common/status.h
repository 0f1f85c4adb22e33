#pragma once

#include <string>

#include "protocol/common.pb.h"

namespace snowfox::node {

Status make_status(Status::Colour colour, std::string reason);

/// How bad a colour is: Green, Unknown, Yellow, Red.
int badness(Status::Colour colour) noexcept;

}  // namespace snowfox::node
