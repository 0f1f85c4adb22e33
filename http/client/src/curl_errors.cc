#include "curl_errors.h"

#include <snowfox/http_client/http_client_error.h>

namespace snowfox {

std::error_code meaning_of(CURLcode code, std::string_view words) noexcept {
  // The same code as for a connection that breaks; the text is in all versions until now.
  if (code == CURLE_RECV_ERROR && words.find("chunked-encoding") != words.npos) return HttpClientErrc::BadResponse;
  switch (code) {
    case CURLE_OUT_OF_MEMORY: return std::make_error_code(std::errc::not_enough_memory);
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED: return HttpClientErrc::BadRequest;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return HttpClientErrc::CouldNotResolve;
    case CURLE_COULDNT_CONNECT:
    case CURLE_INTERFACE_FAILED:
    case CURLE_PROXY: return HttpClientErrc::CouldNotConnect;
    // Only the connection is timed by libcurl.
    case CURLE_OPERATION_TIMEDOUT: return HttpClientErrc::ConnectTimeout;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_USE_SSL_FAILED:
    case CURLE_PEER_FAILED_VERIFICATION: return HttpClientErrc::TlsFailed;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_SHUTDOWN_FAILED: return HttpClientErrc::ConnectionReset;
    // HTTP/0.9: of URLs only those of HTTP come this far.
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WEIRD_SERVER_REPLY:
    // Chunks that are none, and decoding that goes wrong, end in this.
    case CURLE_WRITE_ERROR: return HttpClientErrc::BadResponse;
    default: return HttpClientErrc::Failed;
  }
}

}  // namespace snowfox
