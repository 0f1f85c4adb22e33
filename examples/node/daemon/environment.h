#pragma once

namespace snowfox::node {

/// Makes the process independent of whoever started it, who may have left anything lying about: closes descriptors
/// other than the standard streams and those that a service manager passes (LISTEN_FDS), opens missing standard streams
/// on /dev/null, keeps of the environment only what a daemon may heed, and enters /.
void prepare_environment();

}  // namespace snowfox::node
