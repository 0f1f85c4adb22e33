#include "nginx.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace snowfox {
namespace {

constexpr std::string_view kConfiguration = R"(
worker_processes 1;
error_log DIR/error.log warn;
daemon off;
pid DIR/nginx.pid;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path DIR/body;
  proxy_temp_path DIR/proxy;
  fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi;
  scgi_temp_path DIR/scgi;
  client_max_body_size 100m;
  keepalive_requests 1000000;
  gzip on;
  gzip_min_length 1;
  gzip_types text/plain;
  server {
    listen unix:DIR/plain.sock backlog=4096;
    root DIR;
    location = /hello { default_type text/plain; return 200 "hello, request $connection_requests"; }
    location = /id { default_type text/plain; return 200 "$http_x_correlation_id"; }
    location = /small { client_max_body_size 1k; return 200; }
    location = /refuse { return 503; }
    location = /moved { return 308 /hello; }
  }
  server {
    listen unix:DIR/good.sock ssl http2 backlog=4096;
    ssl_certificate DIR/good.pem; ssl_certificate_key DIR/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    location / { default_type text/plain; return 200 "$ssl_protocol $server_protocol"; }
  }
  server {
    listen unix:DIR/expired.sock ssl;
    ssl_certificate DIR/expired.pem; ssl_certificate_key DIR/key.pem;
    location / { return 200 "no"; }
  }
  server {
    listen unix:DIR/other.sock ssl;
    ssl_certificate DIR/other.pem; ssl_certificate_key DIR/key.pem;
    location / { return 200 "no"; }
  }
  server {
    listen unix:DIR/strict.sock ssl;
    ssl_certificate DIR/good.pem; ssl_certificate_key DIR/key.pem;
    ssl_client_certificate DIR/ca.pem; ssl_verify_client on;
    location / { default_type text/plain; return 200 "$ssl_client_s_dn"; }
  }
}
)";

// One key does for all: it is the certificates that are tested.
constexpr std::string_view kCertificates = R"(
set -e
cd DIR
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out ca.pem -subj /CN=test-ca -days 2
certificate() {
  openssl req -new -key key.pem -subj /CN=$2 -out $1.csr
  printf 'subjectAltName=DNS:%s\n' $2 > $1.ext
  openssl x509 -req -in $1.csr -CA ca.pem -CAkey key.pem -CAcreateserial -extfile $1.ext -out $1.pem -days $3
}
certificate good service.example 2
certificate other other.example 2
certificate client tester 2
certificate expired service.example -1
head -c 3000000 /dev/zero > zeros.txt
)";

std::string in(const std::filesystem::path& directory, std::string_view text) {
  std::string result(text);
  for (std::size_t at = 0; (at = result.find("DIR", at)) != result.npos;) {
    result.replace(at, 3, directory.string());
    at += directory.string().size();
  }
  return result;
}

}  // namespace

bool Nginx::installed() { return std::system("PATH=$PATH:/usr/sbin; command -v nginx openssl >/dev/null") == 0; }

Nginx::Nginx() {
  std::string name = std::filesystem::temp_directory_path() / "snowfox-nginx-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no directory for nginx");
  directory_ = name;
  ::chmod(name.c_str(), 0755);
  run(in(directory_, kCertificates));
  std::ofstream(directory_ / "nginx.conf") << in(directory_, kConfiguration);
  process_ = ::fork();
  if (process_ == 0) {
    // It goes with the test, however that ends.
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    const std::string configuration = path("nginx.conf");
    const std::string log = path("error.log");
    ::execl("/usr/sbin/nginx", "nginx", "-c", configuration.c_str(), "-e", log.c_str(), nullptr);
    ::_exit(127);
  }
  // Written when it listens.
  for (int i = 0; i < 2000 && !std::filesystem::exists(directory_ / "nginx.pid"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Nginx::~Nginx() {
  ::kill(process_, SIGTERM);
  ::waitpid(process_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void Nginx::run(const std::string& command) const {
  const std::string script = directory_ / "script";
  std::ofstream(script) << command;
  if (std::system(("sh " + script + " >" + path("log") + " 2>&1").c_str()) != 0) {
    std::ifstream log(directory_ / "log");
    throw std::runtime_error(std::string(std::istreambuf_iterator<char>(log), {}));
  }
}

}  // namespace snowfox
