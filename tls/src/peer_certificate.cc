#include "peer_certificate.h"

#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <string>

#include <snowfox/core/address.h>

#include "openssl_errors.h"
#include "openssl_handles.h"

namespace snowfox {
namespace {

using NamesRef = std::unique_ptr<GENERAL_NAMES, OpensslFree<&GENERAL_NAMES_free>>;

std::string text_of(const X509_NAME* name) {
  const BioRef out(BIO_new(BIO_s_mem()));
  if (!out || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) < 0) return {};
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

// What an authority lets people write into their certificates may be anything; a name goes into logs.
void append_printable(std::string& to, const ASN1_STRING* from) {
  const unsigned char* const bytes = ASN1_STRING_get0_data(from);
  for (int i = 0; i < ASN1_STRING_length(from); ++i) {
    to += bytes[i] > 0x20 && bytes[i] < 0x7f ? static_cast<char>(bytes[i]) : '?';
  }
}

std::string address_text(const ASN1_OCTET_STRING* bytes) {
  const unsigned char* const data = ASN1_STRING_get0_data(bytes);
  std::string text;
  if (ASN1_STRING_length(bytes) == 4) {
    for (int i = 0; i < 4; ++i) text += (i == 0 ? "" : ".") + std::to_string(data[i]);
  } else if (ASN1_STRING_length(bytes) == 16) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (int i = 0; i < 16; ++i) {
      if (i != 0 && i % 2 == 0) text += ':';
      text += {kDigits[data[i] >> 4], kDigits[data[i] & 15]};
    }
  }
  return text;
}

std::vector<std::string> names_of(const X509* certificate) {
  std::vector<std::string> all;
  const NamesRef names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    std::string text;
    switch (name->type) {
      case GEN_DNS:
        text = "DNS:";
        append_printable(text, name->d.dNSName);
        break;
      case GEN_URI:
        text = "URI:";
        append_printable(text, name->d.uniformResourceIdentifier);
        break;
      case GEN_EMAIL:
        text = "email:";
        append_printable(text, name->d.rfc822Name);
        break;
      case GEN_IPADD: text = "IP:" + address_text(name->d.iPAddress); break;
      default: continue;
    }
    all.push_back(std::move(text));
  }
  return all;
}

std::string fingerprint_of(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += {kDigits[digest[i] >> 4], kDigits[digest[i] & 15]};
  return text;
}

std::chrono::system_clock::time_point expiry_of(const X509* certificate) noexcept {
  std::tm parts{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return {};
  return std::chrono::system_clock::from_time_t(timegm(&parts));
}

}  // namespace

std::optional<TlsPeerCertificate> verified_certificate(const SSL* ssl) {
  const OpensslErrors errors;
  if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE || SSL_get_verify_result(ssl) != X509_V_OK) return std::nullopt;
  const X509* const certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return std::nullopt;
  return TlsPeerCertificate{.subject = text_of(X509_get_subject_name(certificate)),
                            .issuer = text_of(X509_get_issuer_name(certificate)),
                            .names = names_of(certificate),
                            .fingerprint = fingerprint_of(certificate),
                            .expires = expiry_of(certificate)};
}

}  // namespace snowfox
