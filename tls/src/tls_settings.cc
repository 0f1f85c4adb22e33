#include "tls_settings.h"

#include <sys/stat.h>
#include <openssl/err.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <system_error>

#include <snowfox/tls/tls_error.h>

#include "openssl_errors.h"
#include "tls_io.h"

namespace snowfox {
namespace {

constexpr std::string_view kComponent = "tls";

[[noreturn]] void refuse(TlsErrc code, const std::string& what, const OpensslErrors& errors) {
  const std::string why = errors.text();
  throw std::system_error(code, why.empty() ? what : what + ": " + why);
}

// OpenSSL says for all that is wrong with a file "system lib" or "no start line": first it is made sure that it is
// there.
void expect_file(const std::string& path, const char* what) {
  struct stat status {};
  if (path.empty()) throw std::system_error(make_error_code(TlsErrc::BadFile), std::string("no ") + what + " is named");
  if (stat(path.c_str(), &status) != 0) throw std::system_error(errno, std::system_category(), path);
  if (S_ISDIR(status.st_mode)) throw std::system_error(EISDIR, std::system_category(), path);
}

void warn_of_readers(const std::string& path, Log& log) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || (status.st_mode & (S_IROTH | S_IWOTH)) == 0) return;
  log.warning(kComponent, "a private key that anybody may read or change", {{"file", path}});
}

int no_passphrase(char*, int, int, void*) noexcept { return 0; }

void use_certificate(SSL_CTX* context, const TlsCertificateFiles& files, Log& log) {
  const OpensslErrors errors;
  expect_file(files.chain, "certificate");
  if (SSL_CTX_use_certificate_chain_file(context, files.chain.c_str()) != 1) {
    refuse(TlsErrc::BadFile, files.chain, errors);
  }
  expect_file(files.key, "private key");
  warn_of_readers(files.key, log);
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const unsigned long error = ERR_peek_error();
    const bool mismatch =
        ERR_GET_REASON(error) == X509_R_KEY_VALUES_MISMATCH || ERR_GET_REASON(error) == X509_R_KEY_TYPE_MISMATCH;
    refuse(mismatch && ERR_GET_LIB(error) == ERR_LIB_X509 ? TlsErrc::KeyMismatch : TlsErrc::BadFile, files.key, errors);
  }
  if (SSL_CTX_check_private_key(context) != 1) refuse(TlsErrc::KeyMismatch, files.key + " and " + files.chain, errors);
}

std::string on_wire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      throw std::system_error(make_error_code(TlsErrc::Unusable), "protocol '" + protocol + "'");
    }
    wire += static_cast<char>(protocol.size());
    wire += protocol;
  }
  return wire;
}

const unsigned char* bytes_of(const std::string& text) noexcept {
  return reinterpret_cast<const unsigned char*>(text.data());
}

int choose_protocol(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered,
                    unsigned offered_size, void*) noexcept {
  // Not OpenSSL's argument: that would be the context's, which may be gone.
  const std::string& ours = TlsIo::of(ssl).settings().protocols;
  unsigned char* match = nullptr;
  if (SSL_select_next_proto(&match, chosen_size, bytes_of(ours), static_cast<unsigned>(ours.size()), offered,
                            offered_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *chosen = match;
  return SSL_TLSEXT_ERR_OK;
}

int hear_server_name(SSL* ssl, int*, void*) noexcept {
  if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) TlsIo::of(ssl).set_server_name(name);
  return SSL_TLSEXT_ERR_OK;
}

std::shared_ptr<TlsSettings> make_common(const TlsOptions& options, bool server) {
  const OpensslErrors errors;
  auto settings = std::make_shared<TlsSettings>(TlsSettings{
      .server = server,
      .context = SslContextRef(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method())),
      .protocols = on_wire(options.protocols),
      .handshake_timeout = options.handshake_timeout,
      .max_handshake_bytes = options.max_handshake_bytes,
      .require_close_notify = options.require_close_notify,
  });
  SSL_CTX* const context = settings->context.get();
  if (context == nullptr) refuse(TlsErrc::Unusable, "make a context", errors);
  const int least = options.least_version == TlsVersion::Tls13 ? TLS1_3_VERSION : TLS1_2_VERSION;
  if (SSL_CTX_set_min_proto_version(context, least) != 1) refuse(TlsErrc::Unusable, "least version", errors);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // Tickets are kept by those they are for: what a server would remember of all its clients grows.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context, &no_passphrase);
  return settings;
}

}  // namespace

TlsSettingsRef TlsSettings::make(const TlsServerOptions& options, Log& log) {
  const auto settings = make_common(options, true);
  SSL_CTX* const context = settings->context.get();
  const OpensslErrors errors;
  use_certificate(context, options.certificate, log);
  // OpenSSL's macro for it has a cast that the compiler warns of.
  SSL_CTX_callback_ctrl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, reinterpret_cast<void (*)()>(&hear_server_name));
  if (!settings->protocols.empty()) SSL_CTX_set_alpn_select_cb(context, &choose_protocol, nullptr);
  if (options.client_certificates != TlsClientCertificates::Ignored) {
    const std::string& file = options.client_authorities;
    expect_file(file, "file of the clients' authorities");
    STACK_OF(X509_NAME)* const names = SSL_load_client_CA_file(file.c_str());
    if (names == nullptr) refuse(TlsErrc::BadFile, file, errors);
    SSL_CTX_set_client_CA_list(context, names);  // takes them over
    if (SSL_CTX_load_verify_file(context, file.c_str()) != 1) refuse(TlsErrc::BadFile, file, errors);
    const bool required = options.client_certificates == TlsClientCertificates::Required;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
    // Without, OpenSSL refuses to resume where clients show certificates.
    constexpr std::array<unsigned char, 7> kIdContext{'s', 'n', 'o', 'w', 'f', 'o', 'x'};
    SSL_CTX_set_session_id_context(context, kIdContext.data(), kIdContext.size());
  }
  return settings;
}

TlsSettingsRef TlsSettings::make(const TlsClientOptions& options, Log& log) {
  const auto settings = make_common(options, false);
  SSL_CTX* const context = settings->context.get();
  const OpensslErrors errors;
  if (!options.certificate.chain.empty() || !options.certificate.key.empty()) {
    use_certificate(context, options.certificate, log);
  }
  if (!settings->protocols.empty() && SSL_CTX_set_alpn_protos(context, bytes_of(settings->protocols),
                                                              static_cast<unsigned>(settings->protocols.size())) != 0) {
    refuse(TlsErrc::Unusable, "protocols", errors);
  }
  if (!options.verify) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    return settings;
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  const std::string& file = options.authorities_file;
  const std::string& directory = options.authorities_directory;
  if (!file.empty()) {
    expect_file(file, "file of authorities");
    if (SSL_CTX_load_verify_file(context, file.c_str()) != 1) refuse(TlsErrc::BadFile, file, errors);
  }
  if (!directory.empty()) {
    struct stat status {};
    if (stat(directory.c_str(), &status) != 0) throw std::system_error(errno, std::system_category(), directory);
    if (!S_ISDIR(status.st_mode)) throw std::system_error(ENOTDIR, std::system_category(), directory);
    if (SSL_CTX_load_verify_dir(context, directory.c_str()) != 1) refuse(TlsErrc::BadFile, directory, errors);
  }
  if (file.empty() && directory.empty() && SSL_CTX_set_default_verify_paths(context) != 1) {
    refuse(TlsErrc::BadFile, "the system's authorities", errors);
  }
  return settings;
}

}  // namespace snowfox
