#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <snowfox/core/address.h>
#include <snowfox/core/io.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/http/http_event.h>
#include <snowfox/http/http_protocol.h>
#include <snowfox/http/http_source.h>
#include <snowfox/http_client/http_client.h>
#include <snowfox/sources/listener_source.h>

#include "examples/program.h"
#include "support/run_until.h"
#include "support/temporary_directory.h"

namespace snowfox::appservice {

using namespace std::chrono_literals;
using Json = nlohmann::json;

/// An application service on a port of its own, served by the test's loop.
class HttpService {
 public:
  struct Request {
    std::string method;
    std::string target;
    std::string path;
    std::string authorization;
    std::string fields;  ///< all of the header, a line each
    std::string body;
  };

  explicit HttpService(LoopManager& loop)
      : listener_(loop, Address::tcp("127.0.0.1", 0), {}, [this, &loop](const ListenerSource::Connection& client) {
          serve_http(loop, client.channel, protocol_);
        }) {
    protocol_.options.max_body_bytes = 16U << 20;
    protocol_.router.otherwise([this](HttpEvent& event) { take(event); });
  }

  /// What answers; it may keep the responder.
  std::function<void(HttpEvent&, const Request&)> answer = [](HttpEvent& event, const Request&) { ok(event); };
  std::vector<Request> requests;

  static void ok(HttpEvent& event) { event.answer({.content_type = "application/json", .body = "{}"}); }
  std::string url() const { return "http://" + listener_.local_address().str().substr(4); }
  /// The ids of all events that came; of a transaction that came again, once.
  std::vector<std::string> events() const {
    std::vector<std::string> ids;
    std::vector<std::string> seen;
    for (const Request& request : requests) {
      if (request.method != "PUT" || std::find(seen.begin(), seen.end(), request.path) != seen.end()) continue;
      seen.push_back(request.path);
      const Json content = Json::parse(request.body);
      for (const Json& event : content.at("events")) ids.push_back(event.at("event_id"));
    }
    return ids;
  }

 private:
  void take(HttpEvent& event) {
    const HttpRequest& request = event.request();
    std::string fields;
    for (std::size_t i = 0; i < request.field_count(); ++i) {
      const HttpField field = request.field(i);
      fields += std::string(field.name) + ": " + std::string(field.value) + "\n";
    }
    requests.push_back({std::string(request.method()), std::string(request.target()), std::string(request.path()),
                        std::string(request.field("Authorization").value_or("")), std::move(fields),
                        std::string(request.body())});
    answer(event, Request(requests.back()));
  }

  HttpProtocol protocol_;
  ListenerSource listener_;
};

/// A service that is too busy to take another connection: as many wait as it lets wait, and whoever comes then hears
/// nothing.
class CrowdedListener {
 public:
  CrowdedListener() {
    auto* const name = static_cast<sockaddr*>(static_cast<void*>(&address_));
    socklen_t size = sizeof address_;
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener_ = Descriptor(Io::system(), ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(listener_.get(), name, size) != 0 || ::listen(listener_.get(), 0) != 0 ||
        ::getsockname(listener_.get(), name, &size) != 0) {
      throw std::system_error(errno, std::system_category(), "listen");
    }
    // On the loopback a connection is there when connect() returns, or not at all.
    constexpr int kMost = 64;
    for (int i = 0; i < kMost && !full_; ++i) {
      waiting_.emplace_back(Io::system(), ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      const bool begun = ::connect(waiting_.back().get(), name, size) == 0 || errno == EINPROGRESS;
      pollfd made{.fd = waiting_.back().get(), .events = POLLOUT, .revents = 0};
      full_ = begun && ::poll(&made, 1, 0) == 0;
    }
  }
  bool full() const noexcept { return full_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(ntohs(address_.sin_port)); }

 private:
  sockaddr_in address_{};
  Descriptor listener_;
  std::vector<Descriptor> waiting_;
  bool full_ = false;
};

/// The real daemon, with service `a` and whatever else a test writes, and somebody who talks to it.
class DaemonTest : public ::testing::Test {
 protected:
  static constexpr std::string_view kSubmit = "/_snowfox/appservice/v1/events";
  static constexpr const char* kSubmitToken = "submit-secret-0";

  void TearDown() override {
    if (program) said += program->errors();
    program = nullptr;
    for (const char* secret : {"submit-secret", "as-secret", "hs-secret"}) {
      EXPECT_EQ(said.find(secret), std::string::npos) << "a token was told:\n" << said;
    }
    EXPECT_EQ(said.find("slow handler"), std::string::npos) << said;
  }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream file(directory / name);
    file << text;
    ASSERT_TRUE(file.flush()) << name;
  }
  void write_service(const std::string& id, const std::string& url) const {
    write(id + ".yaml", "id: " + id + "\nurl: " + url + "\nas_token: as-secret-" + id + "\nhs_token: hs-secret-" + id +
                            "\nsender_localpart: bot_" + id + "\nnamespaces:\n  users: [{exclusive: true, regex: \"@" +
                            id + "_.*\"}]\n  aliases: [{exclusive: true, regex: \"#" + id +
                            "_.*\"}]\n  rooms: []\nrate_limited: false\n");
  }
  void write_configuration(const std::string& services = "a.yaml", const std::string& limits = {},
                           const std::string& more = {}) const {
    write("c.yaml", "listen: " + listen + "\nadmin: 127.0.0.1:0\nsubmit_token: " + kSubmitToken + "\nstore: " + store +
                        "\nregistrations: [" + services + "]\nhomeserver_domain: example.org\nlimits: {" + limits +
                        "}\n" + more);
  }
  std::vector<std::string> arguments() const { return {"--config", directory / "c.yaml"}; }

  void start() {
    if (program) said += program->errors();
    program = std::make_unique<Program>("appservice", arguments());
    const std::string ready = program->line();
    constexpr std::string_view kBefore = "appservice: listening on ";
    constexpr std::string_view kBetween = ", admin on ";
    const std::size_t comma = ready.find(kBetween);
    if (!ready.starts_with(kBefore) || comma == std::string::npos) {
      throw std::runtime_error("said: " + ready + program->errors());
    }
    api = "http://" + ready.substr(kBefore.size(), comma - kBefore.size());
    admin = "http://" + ready.substr(comma + kBetween.size());
  }
  /// With one service, as most tests need it.
  void start_with_service(const std::string& limits = {}, const std::string& more = {}) {
    write_service("a", service.url());
    write_configuration("a.yaml", limits, more);
    start();
    until([&] { return ask("GET", admin + "/ready").status == 200; });
  }

  template <typename T>
  T settle(Promise<T> promise) {
    if (!run_until(
            loop, [&] { return promise.settled(); }, 20s))
      throw std::runtime_error("waits for ever");
    if (promise.state()->rejected()) {
      if (program) ADD_FAILURE() << program->errors();
      std::rethrow_exception(promise.state()->error());
    }
    if constexpr (!std::is_void_v<T>) return std::move(promise.state()->value());
  }
  /// What is to be seen only from outside is looked for again and again.
  bool until(const std::function<bool()>& condition, Duration limit = 20s) {
    const TimePoint deadline = loop.now() + limit;
    while (!condition()) {
      if (loop.now() > deadline) {
        ADD_FAILURE() << "it did not come to that:\n" << (program ? program->errors() : "");
        return false;
      }
      if (EventRef event = loop.wait(5ms)) loop.dispatch(std::move(event));
    }
    return true;
  }
  bool until_said(const std::string& text) {
    return until([&] { return program->errors().find(text) != std::string::npos; });
  }
  /// Its exit code; meanwhile the service answers.
  int end(int signal = SIGTERM) {
    program->signal(signal);
    std::optional<int> code;
    until([&] { return (code = program->ended()).has_value(); });
    said += program->errors();
    program = nullptr;
    return code.value_or(-1);
  }

  Promise<HttpClientResponse> send(std::string method, std::string url, std::string body = {}, std::string token = {}) {
    HttpClientRequest request;
    request.method = std::move(method);
    request.url = std::move(url);
    request.body = std::move(body);
    if (!token.empty()) request.headers.add("Authorization", "Bearer " + token);
    return client.send(std::move(request));
  }
  HttpClientResponse ask(std::string method, std::string url, std::string body = {}, std::string token = {}) {
    HttpClientResponse response = settle(send(std::move(method), std::move(url), std::move(body), std::move(token)));
    said += response.body;
    return response;
  }
  HttpClientResponse submit(const Json& events) {
    return ask("POST", api + std::string(kSubmit), events.dump(), kSubmitToken);
  }
  HttpClientResponse ping(const std::string& id = "a", const std::string& body = "{}") {
    return ask("POST", ping_url(id), body, "as-secret-" + id);
  }
  std::string ping_url(const std::string& id) const { return api + "/_matrix/client/v1/appservice/" + id + "/ping"; }

  static Json event(const std::string& id, const std::string& sender = "@a_1:example.org") {
    return {{"event_id", id},   {"type", "m.room.message"},       {"room_id", "!room:example.org"},
            {"sender", sender}, {"content", {{"body", "hello"}}}, {"origin_server_ts", 1}};
  }
  static std::string errcode(const HttpClientResponse& response) {
    const Json body = Json::parse(response.body, nullptr, false);
    return std::to_string(response.status) + " " + (body.is_object() ? body.value("errcode", "") : "no JSON");
  }
  double metric(const std::string& name) {
    const std::string text = "\n" + ask("GET", admin + "/metrics").body;
    const std::size_t at = text.find("\n" + name + " ");
    if (at == std::string::npos) throw std::runtime_error("no metric " + name);
    return std::stod(text.substr(at + name.size() + 2));
  }

  TemporaryDirectory directory;
  std::string listen = "127.0.0.1:0";
  std::string store = "sqlite:store.db";
  LoopManager loop;
  HttpService service{loop};
  HttpClient client{loop};
  std::unique_ptr<Program> program;
  std::string api;
  std::string admin;
  std::string said;  ///< all that it has said and answered, but for what it says now on stderr
};

}  // namespace snowfox::appservice
