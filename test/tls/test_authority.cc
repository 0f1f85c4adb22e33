#include "test_authority.h"

#include <fcntl.h>
#include <unistd.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdexcept>

namespace snowfox {
namespace {

void demand(bool done, const char* what) {
  if (!done) throw std::runtime_error(what);
}

template <typename Write>
std::string pem(Write&& write) {
  BIO* const out = BIO_new(BIO_s_mem());
  demand(write(out) == 1, "write PEM");
  char* text = nullptr;
  const long size = BIO_ctrl(out, BIO_CTRL_INFO, 0, &text);
  std::string written(text, static_cast<std::size_t>(size));
  BIO_free_all(out);
  return written;
}

std::string pem_of(X509* certificate) {
  return pem([&](BIO* out) { return PEM_write_bio_X509(out, certificate); });
}
std::string pem_of(EVP_PKEY* key) {
  return pem([&](BIO* out) { return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

EVP_PKEY* make_key(bool ed25519) {
  return ed25519 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519") : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
}

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  demand(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, "add an extension");
  X509_EXTENSION_free(extension);
}

}  // namespace

void write_private(const std::string& path, const std::string& text) {
  ::unlink(path.c_str());
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  demand(fd >= 0, "make a file");
  demand(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "write a file");
  ::close(fd);
}

TestAuthority::TestAuthority(const std::string& name, bool ed25519) : ed25519_(ed25519), key_(make_key(ed25519)) {
  certificate_ = make({.name = name, .alternative = ""}, key_.get(), true);
  write_private(file(), pem_of(certificate_.get()));
}

TestAuthority::~TestAuthority() = default;

TestAuthority::CertificateRef TestAuthority::make(const CertificateWish& wish, EVP_PKEY* key, bool authority) {
  CertificateRef certificate(X509_new());
  X509* const made = certificate.get();
  X509* const issuer = authority ? made : certificate_.get();
  demand(X509_set_version(made, 2) == 1, "set the version");
  ASN1_INTEGER_set(X509_get_serialNumber(made), serial_++);
  X509_gmtime_adj(X509_getm_notBefore(made), wish.valid_from.count());
  X509_gmtime_adj(X509_getm_notAfter(made), wish.valid_to.count());
  X509_set_pubkey(made, key);
  X509_NAME* const name = X509_get_subject_name(made);
  demand(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(wish.name.c_str()), -1, -1, 0) == 1,
         "set the name");
  X509_set_issuer_name(made, X509_get_subject_name(issuer));
  add_extension(made, issuer, NID_basic_constraints, authority ? "critical,CA:TRUE" : "CA:FALSE");
  add_extension(made, issuer, NID_subject_key_identifier, "hash");
  if (!wish.alternative.empty()) add_extension(made, issuer, NID_subject_alt_name, wish.alternative);
  demand(X509_sign(made, key_.get(), ed25519_ ? nullptr : EVP_sha256()) != 0, "sign");
  return certificate;
}

TlsCertificateFiles TestAuthority::issue(const CertificateWish& wish) {
  const KeyRef key(make_key(ed25519_));
  const CertificateRef certificate = make(wish, key.get(), false);
  const TlsCertificateFiles files{.chain = directory_ / (wish.name + ".pem"), .key = directory_ / (wish.name + ".key")};
  write_private(files.chain, pem_of(certificate.get()) + pem_of(certificate_.get()));
  write_private(files.key, pem_of(key.get()));
  return files;
}

}  // namespace snowfox
