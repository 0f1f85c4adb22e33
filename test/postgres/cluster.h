#pragma once

#include <sys/types.h>

#include <string>

namespace snowfox {

/// A PostgreSQL server of the test program's own (cluster.sh), which goes with it however it ends.
class PostgresCluster {
 public:
  /// The one that all tests of the program share; made when it is first asked for.
  static PostgresCluster& shared();
  static bool installed();

  PostgresCluster();
  ~PostgresCluster();
  PostgresCluster(const PostgresCluster&) = delete;
  PostgresCluster& operator=(const PostgresCluster&) = delete;

  const std::string& uri() const noexcept { return uri_; }
  /// The same server by another port or password.
  std::string uri_with(const std::string& port, const std::string& password = {}) const;
  std::string port() const;

  /// "crash", "stop" or "start": begins it, and returns at once.
  void tell(const std::string& word);
  /// Waits until all that it was told is done.
  void wait();
  /// Both.
  void run(const std::string& word) {
    tell(word);
    wait();
  }

  /// By a connection that is none of ours. Gives the first value, if there is any.
  std::string execute(const std::string& sql) const;

 private:
  std::string read_line();

  pid_t script_ = -1;
  int input_ = -1;
  int output_ = -1;
  unsigned told_ = 0;
  std::string uri_;
};

}  // namespace snowfox
