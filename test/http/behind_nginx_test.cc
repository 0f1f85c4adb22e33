// nginx in front: what it has forwarded and what our server has counted are the same requests, whatever was sent.
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <snowfox/sources/listener_source.h>

#include "hostile_input.h"
#include "http_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;

constexpr const char* kNginx = "/usr/sbin/nginx";

// One process and one connection to us, so that whatever one request leaves behind meets the next. Each request has an
// id of nginx's making; one that nginx knows nothing of has none, or one that was had before. It logs before it closes.
constexpr std::string_view kConfiguration = R"(
USER
worker_processes 1;
daemon off;
pid DIR/nginx.pid;
error_log DIR/error.log crit;
events { worker_connections 64; }
http {
  log_format ids '$request_id $upstream_status';
  access_log DIR/access.log ids;
  client_body_temp_path DIR/body;
  proxy_temp_path DIR/proxy;
  fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi;
  scgi_temp_path DIR/scgi;
  client_header_timeout 1s;
  client_body_timeout 1s;
  keepalive_timeout 1s;
  proxy_read_timeout 1h;
  proxy_send_timeout 1h;
  client_max_body_size 10m;
  large_client_header_buffers 8 64k;
  ignore_invalid_headers OPTION;
  underscores_in_headers on;
  lingering_close off;
  upstream ours { server unix:DIR/ours.sock; keepalive 1; }
  server {
    listen unix:DIR/front.sock;
    location / {
      proxy_pass http://ours;
      proxy_http_version 1.1;
      proxy_request_buffering BUFFERING;
      proxy_next_upstream off;
      proxy_set_header Host $host;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-As $request_id;
    }
  }
}
)";

class BehindNginxTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (::access(kNginx, X_OK) != 0) GTEST_SKIP() << "nginx is not installed";
    std::string name = std::filesystem::temp_directory_path() / "snowfox-behind-nginx-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    std::filesystem::permissions(directory_, std::filesystem::perms(0755));
    serve();
    start();
  }
  void TearDown() override {
    if (process_ > 0) {
      ::kill(process_, SIGTERM);
      ::waitpid(process_, nullptr, 0);
    }
    std::error_code ignored;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
  }

  void serve() {
    const auto handle = [this](HttpEvent& event) {
      handled_.push_back(std::string(event.request().field("X-Forwarded-As").value_or("none: smuggled")));
      event.answer({.body = "ok"});
    };
    for (const char* method : {"GET", "POST"}) protocol_.router.add(method, "/{path*}", handle);
    protocol_.router.add("POST", "/early", handle, {.stream = true});
    loop_.add(std::make_unique<ListenerSource>(
        loop_, Address::unix_socket((directory_ / "ours.sock").string()), ListenerOptions{},
        [this](const ListenerSource::Connection& client) { serve_http(loop_, client.channel, protocol_); }));
  }

  void start() {
    std::string text(kConfiguration);
    const auto fill = [&](std::string_view what, const std::string& with) {
      for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; at += with.size()) {
        text.replace(at, what.size(), with);
      }
    };
    // Where it would give up root, it could not reach our socket.
    fill("USER", ::geteuid() == 0 ? "user root;" : "");
    fill("DIR", directory_);
    fill("BUFFERING", std::string_view(GetParam()) == "Buffered" ? "on" : "off");
    fill("OPTION", std::string_view(GetParam()) == "Unfiltered" ? "off" : "on");
    std::ofstream(directory_ / "nginx.conf") << text;
    process_ = ::fork();
    if (process_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // it goes with the test, however that ends
      const std::string configuration = directory_ / "nginx.conf";
      const std::string log = directory_ / "error.log";
      ::execl(kNginx, "nginx", "-c", configuration.c_str(), "-e", log.c_str(), nullptr);
      ::_exit(127);
    }
    // Written when it listens.
    ASSERT_TRUE(turn_until([&] { return std::filesystem::exists(directory_ / "nginx.pid"); }));
  }

  template <typename Condition>
  bool turn_until(const Condition& condition) {
    loop_.hold();  // it does not go on for the listener's sake
    bool holds = condition();
    for (int i = 0; i < 120'000 && !holds; ++i) {
      loop_.run_for(1ms);
      holds = condition();
    }
    loop_.release();
    return holds;
  }

  /// Sends `bytes` and what should be a last request to nginx, and waits until nginx has closed the connection.
  void exchange(const std::string& bytes) {
    const Descriptor client = connect_to(Address::unix_socket((directory_ / "front.sock").string()));
    const std::string all = bytes + "GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    std::size_t sent = 0;
    ASSERT_TRUE(turn_until([&] {
      sent += send_some(client.get(), std::string_view(all).substr(sent));
      receive_some(client.get());
      return at_end(client.get());
    }));
  }

  /// What nginx has logged since: the id and our status of each request that it has had an answer of us to.
  std::vector<std::string> forwarded() {
    std::ifstream log(directory_ / "access.log");
    log.seekg(logged_);
    std::vector<std::string> ids;
    std::string line;
    while (std::getline(log, line)) {
      logged_ += static_cast<std::streamoff>(line.size() + 1);
      std::istringstream words(line);
      std::string id;
      std::string status;
      words >> id >> status;
      attempted_.push_back(id);
      if (status != "-" && status != "502") ids.push_back(id);
    }
    return ids;
  }

  LoopManager loop_;
  HttpProtocol protocol_;
  std::filesystem::path directory_;
  std::streamoff logged_ = 0;
  pid_t process_ = -1;
  std::vector<std::string> handled_;
  std::vector<std::string> attempted_;
};

TEST_P(BehindNginxTest, CountsTheRequestsThatWereForwarded) {
  std::size_t answered = 0;
  for (const HostileSection& section : hostile_sections()) {
    for (const HostileInput& input : section.inputs) {
      SCOPED_TRACE(input.name);
      handled_.clear();
      attempted_.clear();
      const HttpCounters before = protocol_.counters();
      exchange(input.bytes);
      const std::vector<std::string> ids = forwarded();
      answered += ids.size();
      // Whatever was handled here nginx has sent, once; and each answer of ours is nginx's answer to one request.
      EXPECT_THAT(attempted_, testing::IsSupersetOf(handled_));
      const HttpCounters& after = protocol_.counters();
      EXPECT_EQ(after.requests - before.requests, handled_.size());
      std::uint64_t answers = 0;
      for (std::size_t i = 0; i < after.answers_by_class.size(); ++i) {
        answers += after.answers_by_class[i] - before.answers_by_class[i];
      }
      EXPECT_EQ(answers, ids.size());
    }
  }
  // The test would be none if nginx refused everything.
  EXPECT_GT(answered, 100U);
}

INSTANTIATE_TEST_SUITE_P(All, BehindNginxTest, testing::Values("Buffered", "Unbuffered", "Unfiltered"),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace snowfox
