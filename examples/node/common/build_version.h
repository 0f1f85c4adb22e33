#pragma once

#include <string>

#include "protocol/common.pb.h"

namespace snowfox::node {

/// What this program was built from.
Version build_version();
/// The same for people: `0.1.0, commit 1a2b3c4d5e6f, with changes`.
std::string to_text(const Version& version);

}  // namespace snowfox::node
