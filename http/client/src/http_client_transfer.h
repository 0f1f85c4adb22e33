#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <curl/curl.h>

#include <snowfox/core/clock.h>
#include <snowfox/http_client/http_client.h>

#include "outgoing_header.h"

namespace snowfox {

class HttpClientEngine;
class HttpClientExchange;

/// One of libcurl's easy handles. Set up once, it does one exchange after another; what it tells, it tells the
/// exchange, from inside libcurl: nothing there may call libcurl again, or the program.
class HttpClientTransfer {
 public:
  /// Throws std::bad_alloc; std::system_error if libcurl refuses an option.
  explicit HttpClientTransfer(HttpClientEngine& engine);

  CURL* handle() const noexcept { return handle_.get(); }
  HttpClientExchange* exchange() const noexcept { return exchange_; }
  static HttpClientTransfer& of(CURL* handle) noexcept;

  /// Gets ready to send the request of `exchange`. Throws as the constructor.
  void begin(HttpClientExchange& exchange, std::uint64_t span);
  /// Gets ready for a transfer that will get no socket.
  void begin_without_exchange();
  /// Forgets the exchange.
  void end() noexcept { exchange_ = nullptr; }

  /// Something of the request was sent.
  bool sent_anything() const noexcept;
  /// Fills in what is known at the end.
  void describe(HttpClientExchange& exchange) const noexcept;
  /// Libcurl's own words for what went wrong.
  std::string_view words_for(CURLcode code) const noexcept;

 private:
  struct CloseHandle {
    void operator()(CURL* handle) const noexcept { curl_easy_cleanup(handle); }
  };
  struct FreeList {
    void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
  };

  template <typename Value>
  void set(CURLoption option, Value value);
  void set_seconds(CURLoption option, Duration time);
  void set_milliseconds(CURLoption option, Duration time);
  void set_up();
  void set_up_tls(const HttpClientTls& tls);
  void set_up_callbacks();
  void set_method(HttpClientExchange& exchange);

  static std::size_t on_header(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
  static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self) noexcept;
  static std::size_t on_read(char* room, std::size_t size, std::size_t count, void* self) noexcept;
  static int on_seek(void* self, curl_off_t offset, int origin) noexcept;
  static int on_connected(void* self, char*, char*, int, int) noexcept;
  static int on_lookup(void* resolver, void*, void* self) noexcept;
  static curl_socket_t on_open(void* self, curlsocktype purpose, curl_sockaddr* address) noexcept;

  HttpClientEngine& engine_;
  HttpClientExchange* exchange_ = nullptr;
  std::unique_ptr<CURL, CloseHandle> handle_;
  std::unique_ptr<curl_slist, FreeList> addresses_;
  std::array<char, CURL_ERROR_SIZE> error_{};
  OutgoingHeader header_;
  std::size_t read_bytes_ = 0;  // of the request's body, by libcurl
};

}  // namespace snowfox
