#include "common/build_version.h"

#include "build_version_text.h"

namespace snowfox::node {

Version build_version() {
  Version version;
  version.set_version(kBuildVersion);
  version.set_commit(kBuildCommit);
  version.set_taint(kBuildTaint);
  return version;
}

std::string to_text(const Version& version) {
  return version.version() + ", commit " + version.commit() + (version.taint() ? ", with changes" : "");
}

}  // namespace snowfox::node
