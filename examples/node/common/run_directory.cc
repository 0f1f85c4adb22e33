#include "common/run_directory.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace snowfox::node {
namespace {

constexpr const char* kSystemDirectory = "/run/snow-fox";

/// Of a user other than root; empty if there is none.
std::string users_directory() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  return runtime == nullptr || *runtime != '/' ? std::string() : std::string(runtime) + "/snow-fox";
}

std::string directory_for(const std::string& given) {
  // The daemon changes its working directory: what is meant must not change with it.
  if (!given.empty()) return std::filesystem::absolute(given).lexically_normal().string();
  if (geteuid() == 0) return kSystemDirectory;
  std::string own = users_directory();
  if (own.empty()) throw std::invalid_argument("XDG_RUNTIME_DIR is not set: say where to run by --run-dir");
  return own;
}

}  // namespace

RunDirectory::RunDirectory(const std::string& path) : path_(directory_for(path)) {
  if (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  spawner_socket();  // the longest
}

Address RunDirectory::default_public_socket() {
  if (geteuid() != 0 && !users_directory().empty()) {
    const Address own = RunDirectory(users_directory()).public_socket();
    if (access(std::string(own.path()).c_str(), F_OK) == 0) return own;
  }
  return RunDirectory(kSystemDirectory).public_socket();
}

}  // namespace snowfox::node
