#include "cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <stdexcept>

#include <libpq-fe.h>

namespace snowfox {

PostgresCluster& PostgresCluster::shared() {
  static PostgresCluster cluster;
  return cluster;
}

bool PostgresCluster::installed() { return std::system("bash '" SNOWFOX_CLUSTER "' --installed >/dev/null 2>&1") == 0; }

PostgresCluster::PostgresCluster() {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  script_ = ::fork();
  if (script_ == 0) {
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    // An interrupt of the terminal is for the test program; the script goes when that is gone.
    ::setpgid(0, 0);
    ::execlp("bash", "bash", SNOWFOX_CLUSTER, nullptr);
    ::_exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  input_ = in[1];
  output_ = out[0];
  uri_ = read_line();
}

PostgresCluster::~PostgresCluster() {
  ::close(input_);
  ::close(output_);
  ::waitpid(script_, nullptr, 0);
}

std::string PostgresCluster::read_line() {
  std::string line;
  for (char c = 0; ::read(output_, &c, 1) == 1;) {
    if (c == '\n') return line;
    line += c;
  }
  throw std::runtime_error("cluster.sh has ended");
}

void PostgresCluster::tell(const std::string& word) {
  const std::string line = word + "\n";
  if (::write(input_, line.data(), line.size()) < 0) throw std::runtime_error("cluster.sh has ended");
  ++told_;
}

void PostgresCluster::wait() {
  for (; told_ != 0; --told_) read_line();
}

std::string PostgresCluster::port() const {
  const std::size_t colon = uri_.rfind(':') + 1;
  return uri_.substr(colon, uri_.find('/', colon) - colon);
}

std::string PostgresCluster::uri_with(const std::string& port, const std::string& password) const {
  const std::size_t at = uri_.find('@');
  const std::size_t secret = uri_.find(':', uri_.find("//")) + 1;
  return uri_.substr(0, secret) + (password.empty() ? uri_.substr(secret, at - secret) : password) +
         "@127.0.0.1:" + (port.empty() ? this->port() : port) + "/postgres";
}

std::string PostgresCluster::execute(const std::string& sql) const {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(uri_.c_str()), &PQfinish);
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection.get(), sql.c_str()), &PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    throw std::runtime_error(sql + ": " + PQerrorMessage(connection.get()));
  }
  return PQntuples(result.get()) > 0 ? PQgetvalue(result.get(), 0, 0) : std::string();
}

}  // namespace snowfox
