#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/http/http_drain.h>
#include <snowfox/http/http_protocol.h>
#include <snowfox/http/http_source.h>

#include "support/manual_loop.h"
#include "support/sockets.h"

namespace snowfox {

/// What was received of answers without their `Date`, of which each has one.
inline std::string undated(std::string text) {
  for (std::size_t at = 0; (at = text.find("Date: ", at)) != std::string::npos;) {
    text.erase(at, text.find("\r\n", at) + 2 - at);
  }
  return text;
}

/// The head of an answer, as it is after undated().
inline std::string ok(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}
inline std::string error(std::string_view status, std::string_view reason, std::string_view fields = "") {
  const std::string body = R"({"error":")" + std::string(reason) + "\"}";
  return "HTTP/1.1 " + std::string(status) +
         "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(fields) + "\r\n" + body;
}
inline constexpr std::string_view kClose = "Connection: close\r\n";

/// A client on a server whose clock is turned by hand: `/echo` sends the body back, `/later` keeps the responder.
class HttpTest : public testing::Test {
 protected:
  HttpTest() {
    protocol_.options.answer_correlation_id = false;
    protocol_.router.add("POST", "/echo", [this](HttpEvent& event) {
      seen_.push_back(std::string(event.request().body()));
      event.answer({.body = event.request().body()});
    });
    protocol_.router.add("GET", "/", [](HttpEvent& event) { event.answer({.body = "home"}); });
    protocol_.router.add("GET", "/later", [this](HttpEvent& event) { later_.push_back(event.take_responder()); });
    protocol_.router.add("POST", "/later", [this](HttpEvent& event) { later_.push_back(event.take_responder()); });
  }

  void connect(const Watermarks* watermarks = nullptr) {
    auto [ours, theirs] = make_socket_pair();
    client_ = std::move(theirs);
    connection_ = serve_http(*loop_, Channel::make(*loop_, std::move(ours)), protocol_, watermarks);
    received_.clear();
  }
  void send(std::string_view bytes) {
    ASSERT_EQ(send_some(client_.get(), bytes), bytes.size());
    loop_.turn();
  }
  /// All that was received since the last call.
  std::string received() {
    loop_.turn();
    return undated(receive_some(client_.get()));
  }
  /// The server has said that nothing more comes.
  bool ended() { return at_end(client_.get()); }
  void half_close() {
    ::shutdown(client_.get(), SHUT_WR);
    loop_.turn();
  }
  bool gone() { return loop_->source(connection_.source) == nullptr && loop_->drain(connection_.drain) == nullptr; }

  static std::string get(std::string_view target, std::string_view fields = "") {
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n" + std::string(fields) + "\r\n";
  }
  static std::string post(std::string_view target, std::string_view body, std::string_view fields = "") {
    return "POST " + std::string(target) + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n" + std::string(fields) + "\r\n" + std::string(body);
  }

  ManualLoop loop_;
  HttpProtocol protocol_;
  Descriptor client_;
  HttpConnection connection_{};
  std::string received_;
  std::vector<std::string> seen_;
  std::vector<HttpResponder> later_;
};

}  // namespace snowfox
