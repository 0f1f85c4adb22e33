#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace snowfox {

/// A real server, on Unix sockets in a directory of its own, with certificates of its own making: `plain.sock` speaks
/// HTTP; `good.sock`, `expired.sock` and `other.sock` TLS as service.example with a certificate that is valid, that has
/// expired, or that is another host's; `strict.sock` wants to see the client's.
class Nginx {
 public:
  /// Throws std::runtime_error if it does not start.
  Nginx();
  ~Nginx();

  /// False where nginx or openssl is not installed.
  static bool installed();
  std::string path(std::string_view file) const { return directory_ / file; }

 private:
  void run(const std::string& command) const;
  std::filesystem::path directory_;
  int process_ = -1;
};

}  // namespace snowfox
