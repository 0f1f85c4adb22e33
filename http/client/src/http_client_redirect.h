#pragma once

#include <string_view>

#include <snowfox/http_client/http_client_request.h>
#include <snowfox/http_client/http_client_response.h>

namespace snowfox {

/// Whether `response` sends the client elsewhere and `request` says to go there.
bool follows_redirect(const HttpClientRequest& request, const HttpClientResponse& response) noexcept;

/// Makes `request` the one to send where `response` says; its status decides about method and body. What may be
/// meant for one server only does not go to another. Empty, or why it is not to be sent there.
std::string_view redirect(HttpClientRequest& request, const HttpClientResponse& response);

}  // namespace snowfox
