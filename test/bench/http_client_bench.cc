// http_client_bench [REQUESTS]: what a request to nginx costs this process, by HttpClient and by libcurl's own
// blocking loop on one handle, one after the other in rounds: requests per CPU-second, allocations per request.
#include <sys/resource.h>
#include <curl/curl.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/http_client/http_client.h>

#include "../http_client/nginx.h"

namespace {

std::size_t allocations = 0;

void* counted(void* block) {
  ++allocations;
  return block;
}

}  // namespace

void* operator new(std::size_t bytes) {
  void* const block = std::malloc(bytes);
  if (block == nullptr) throw std::bad_alloc();
  return counted(block);
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }

namespace snowfox {
namespace {

struct Cost {
  double per_cpu_second = 0;
  double allocations = 0;
};

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

template <typename Function>
Cost cost_of(std::size_t requests, Function function) {
  function(std::size_t{100});
  const double begin = cpu_seconds();
  const std::size_t before = allocations;
  function(requests);
  const auto count = static_cast<double>(requests);
  return {count / (cpu_seconds() - begin), static_cast<double>(allocations - before) / count};
}

/// Sends requests, `depth` at a time, each when the one before it is answered.
class Sender {
 public:
  Sender(LoopManager& loop, std::string socket, std::size_t depth)
      : loop_(loop), client_(loop), socket_(std::move(socket)), promises_(depth) {}

  void send(std::size_t requests) {
    left_ = requests;
    for (std::size_t i = 0; i < promises_.size(); ++i) send_next(i);
    loop_.run();
  }

 private:
  void send_next(std::size_t slot) {
    if (left_ == 0) return;
    --left_;
    promises_[slot] = client_.send({.url = "http://service.example/hello", .unix_socket = socket_})
                          .then([this, slot](const HttpClientResponse& response) {
                            if (response.status != 200) std::abort();
                            send_next(slot);
                          });
  }

  LoopManager& loop_;
  HttpClient client_;
  std::string socket_;
  std::size_t left_ = 0;
  std::vector<Promise<void>> promises_;
};

class EasyLoop {
 public:
  explicit EasyLoop(const std::string& socket) : handle_(curl_easy_init()) {
    curl_easy_setopt(handle_, CURLOPT_URL, "http://service.example/hello");
    curl_easy_setopt(handle_, CURLOPT_UNIX_SOCKET_PATH, socket.c_str());
    curl_easy_setopt(handle_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle_, CURLOPT_WRITEDATA, &body_);
    curl_easy_setopt(
        handle_, CURLOPT_WRITEFUNCTION, +[](char* bytes, std::size_t size, std::size_t count, void* body) {
          static_cast<std::string*>(body)->append(bytes, size * count);
          return size * count;
        });
  }
  ~EasyLoop() { curl_easy_cleanup(handle_); }
  EasyLoop(const EasyLoop&) = delete;
  EasyLoop& operator=(const EasyLoop&) = delete;

  void send(std::size_t requests) {
    for (std::size_t i = 0; i < requests; ++i) {
      body_.clear();
      if (curl_easy_perform(handle_) != CURLE_OK) std::abort();
    }
  }

 private:
  CURL* handle_;
  std::string body_;
};

void run(std::size_t requests) {
  constexpr int kRounds = 5;
  const Nginx nginx;
  LoopManager loop;
  Sender one(loop, nginx.path("plain.sock"), 1);
  Sender sixteen(loop, nginx.path("plain.sock"), 16);
  EasyLoop easy(nginx.path("plain.sock"));
  std::printf("%-8s %26s %26s %26s %8s %8s\n", "round", "libcurl, one at a time", "HttpClient, one at a time",
              "HttpClient, 16 at a time", "ratio", "of 16");
  for (int round = 0; round < kRounds; ++round) {
    const Cost by_easy = cost_of(requests, [&](std::size_t count) { easy.send(count); });
    const Cost by_one = cost_of(requests, [&](std::size_t count) { one.send(count); });
    const Cost by_sixteen = cost_of(requests, [&](std::size_t count) { sixteen.send(count); });
    const auto print = [](const Cost& cost) {
      std::printf(" %12.0f/s %5.1f allocs", cost.per_cpu_second, cost.allocations);
    };
    std::printf("%-8d", round + 1);
    print(by_easy);
    print(by_one);
    print(by_sixteen);
    std::printf(" %8.2f %8.2f\n", by_one.per_cpu_second / by_easy.per_cpu_second,
                by_sixteen.per_cpu_second / by_easy.per_cpu_second);
  }
}

}  // namespace
}  // namespace snowfox

int main(int argc, char** argv) try {
  // So that libcurl's allocations are counted with ours.
  curl_global_init_mem(
      CURL_GLOBAL_DEFAULT, [](std::size_t bytes) { return counted(std::malloc(bytes)); }, std::free,
      [](void* block, std::size_t bytes) { return counted(std::realloc(block, bytes)); },
      [](const char* text) { return static_cast<char*>(counted(strdup(text))); },
      [](std::size_t count, std::size_t bytes) { return counted(std::calloc(count, bytes)); });
  snowfox::run(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 20'000);
} catch (const std::exception& error) {
  std::fprintf(stderr, "http_client_bench: %s\n", error.what());
  return EXIT_FAILURE;
}
