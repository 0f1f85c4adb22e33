#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <snowfox/core/loop_manager.h>
#include <snowfox/http_client/http_client.h>
#include <snowfox/promises/promise.h>

#include "support/run_until.h"

namespace snowfox {

/// Handles events until `promise` is settled; gives its value or throws its error.
template <typename T>
T outcome_of(LoopManager& loop, Promise<T> promise) {
  EXPECT_TRUE(run_until(loop, [&] { return promise.settled(); }));
  if (promise.state()->rejected()) std::rethrow_exception(promise.state()->error());
  return std::move(promise.state()->value());
}

/// The error that ends `promise`; one that says so if none does.
inline HttpClientError error_of(LoopManager& loop, Promise<HttpClientResponse> promise) {
  try {
    const HttpClientResponse response = outcome_of(loop, std::move(promise));
    return {std::error_code{}, "no error but a response: " + std::to_string(response.status)};
  } catch (const HttpClientError& error) {
    return error;
  } catch (const std::exception& error) {
    return {std::error_code{}, std::string("another error: ") + error.what()};
  }
}

inline std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

class HttpClientTest : public testing::Test {
 protected:
  /// Handles what has happened, and what comes of it within `time`.
  void pass(Duration time) { loop.run_for(time); }
  HttpClientError error_of(HttpClientRequest request) {
    return snowfox::error_of(loop, client().send(std::move(request)));
  }
  HttpClientResponse response_to(HttpClientRequest request) {
    return outcome_of(loop, client().send(std::move(request)));
  }
  /// Made with `options` when it is first used.
  HttpClient& client() {
    if (!client_) client_.emplace(loop, options);
    return *client_;
  }
  void drop_client() { client_.reset(); }
  void TearDown() override { EXPECT_TRUE(loop.audit().findings().empty()) << loop.audit().findings().front(); }

  LoopManager loop;
  HttpClientOptions options;

 private:
  std::optional<HttpClient> client_;
};

}  // namespace snowfox
