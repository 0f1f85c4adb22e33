#include <snowfox/http_client/http_client.h>

#include <utility>

#include "http_client_engine.h"

namespace snowfox {

HttpClient::HttpClient(LoopManager& loop, HttpClientOptions options)
    : engine_(std::make_unique<HttpClientEngine>(loop, std::move(options))) {}

HttpClient::~HttpClient() = default;

Promise<HttpClientResponse> HttpClient::send(HttpClientRequest request) { return engine_->send(std::move(request)); }

std::size_t HttpClient::under_way() const noexcept { return engine_->under_way(); }
std::size_t HttpClient::waiting() const noexcept { return engine_->waiting(); }
std::size_t HttpClient::connections_open() const noexcept { return engine_->connections(); }
const HttpClientCounters& HttpClient::counters() const noexcept { return engine_->counters(); }

}  // namespace snowfox
