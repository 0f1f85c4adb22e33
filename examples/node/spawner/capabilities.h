#pragma once

namespace snowfox::node {

/// Gives up what root may do, but for what a spawner needs: becoming the users of services and sending them signals,
/// whoever they are, and finding their programs and working directories. Programs that it executes as root have all of
/// root's capabilities again. Does nothing for others than root. Throws std::system_error.
void keep_only_needed_capabilities();

}  // namespace snowfox::node
