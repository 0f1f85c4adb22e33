// Files, and what is read from them again.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <snowfox/core/error.h>

#include "tls_fixture.h"

namespace snowfox {
namespace {

using testing::HasSubstr;

class TlsContextTest : public TlsTest {
 protected:
  /// What makes the context fail.
  std::system_error failure(const TlsServerOptions& options) {
    try {
      const TlsServerContext context(*loop_, options);
    } catch (const std::system_error& error) {
      return error;
    }
    ADD_FAILURE() << "it does not fail";
    return std::system_error(std::error_code());
  }
  std::string subject_seen() {
    TlsEnd ours;
    TlsEnd theirs;
    connect(ours, theirs);
    if (!ours.session) return ours.failure.code.message();
    return ours.session->peer_certificate->subject;
  }
};

TEST_F(TlsContextTest, NamesTheFileThatIsMissing) {
  server_options_.certificate.key = authority_.directory() / "nowhere.key";
  const std::system_error error = failure(server_options_);
  EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
  EXPECT_THAT(error.what(), HasSubstr("nowhere.key"));
}

TEST_F(TlsContextTest, NamesTheFileThatIsNoCertificate) {
  server_options_.certificate.chain = authority_.directory() / "empty.pem";
  write_private(server_options_.certificate.chain, "nothing of the kind\n");
  const std::system_error error = failure(server_options_);
  EXPECT_EQ(error.code(), TlsErrc::BadFile);
  EXPECT_THAT(error.what(), HasSubstr("empty.pem"));
}

TEST_F(TlsContextTest, RefusesAKeyOfAnotherCertificate) {
  server_options_.certificate.key = authority_.issue({.name = "another"}).key;
  const std::system_error error = failure(server_options_);
  EXPECT_EQ(error.code(), TlsErrc::KeyMismatch);
  EXPECT_THAT(error.what(), HasSubstr("another.key"));
}

// Goal: a passphrase is not asked for, neither at a terminal nor anywhere else.
TEST_F(TlsContextTest, RefusesAnEncryptedKey) {
  const std::string key = authority_.directory() / "encrypted.key";
  const std::string command = "openssl ec -in '" + server_options_.certificate.key + "' -out '" + key +
                              "' -aes128 -passout pass:secret 2>/dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
  server_options_.certificate.key = key;
  const std::system_error error = failure(server_options_);
  EXPECT_EQ(error.code(), TlsErrc::BadFile);
  EXPECT_THAT(error.what(), HasSubstr("encrypted.key"));
}

TEST_F(TlsContextTest, WantsTheAuthoritiesOfItsClients) {
  server_options_.client_certificates = TlsClientCertificates::Required;
  EXPECT_EQ(failure(server_options_).code(), TlsErrc::BadFile);
  server_options_.client_authorities = server_options_.certificate.key;
  EXPECT_THAT(failure(server_options_).what(), HasSubstr("localhost.key"));
}

TEST_F(TlsContextTest, WarnsOfAKeyThatAnybodyMayRead) {
  server();
  EXPECT_EQ(loop_.sink.count("a private key that anybody may read or change"), 0U);
  ::chmod(server_options_.certificate.key.c_str(), 0644);
  server().reload();
  EXPECT_EQ(loop_.sink.find("a private key that anybody may read or change").fields["file"],
            server_options_.certificate.key);
}

// Goal: after a reload new connections see the new certificate, and those of before go on.
TEST_F(TlsContextTest, ReloadsWhileConnectionsLiveOn) {
  const TlsCertificateFiles first = authority_.issue({.name = "first"});
  const TlsCertificateFiles second = authority_.issue({.name = "second"});
  const TlsCertificateFiles used{.chain = authority_.directory() / "used.pem",
                                 .key = authority_.directory() / "used.key"};
  const auto use = [&](const TlsCertificateFiles& files) {
    const auto how = std::filesystem::copy_options::overwrite_existing;
    std::filesystem::copy_file(files.chain, used.chain, how);
    std::filesystem::copy_file(files.key, used.key, how);
  };
  use(first);
  server_options_.certificate = used;
  connect();
  ASSERT_TRUE(client_end_.session) << client_end_.failure.detail;
  EXPECT_EQ(client_end_.session->peer_certificate->subject, "CN=first");

  // One that is under way, too.
  auto [ours, theirs] = make_socket_pair();
  TlsEnd under_way[2];
  serve(std::move(ours), under_way[0]);

  std::string expected;
  for (int i = 0; i < 50; ++i) {
    drain(client_end_).enqueue("again ");
    expected += "again ";
    use(i % 2 == 0 ? second : first);
    server().reload();
    ASSERT_EQ(subject_seen(), i % 2 == 0 ? "CN=second" : "CN=first");
  }
  loop_.turn();
  EXPECT_EQ(server_end_.received, expected);
  ask(std::move(theirs), under_way[1]);
  loop_.turn();
  ASSERT_TRUE(under_way[1].session);
  EXPECT_EQ(under_way[1].session->peer_certificate->subject, "CN=first");
}

// Goal: a reload that fails leaves all as it was.
TEST_F(TlsContextTest, GoesOnWithWhatItHadIfAReloadFails) {
  EXPECT_EQ(subject_seen(), "CN=localhost");
  write_private(server_options_.certificate.chain, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  try {
    server().reload();
    ADD_FAILURE() << "the reload works";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), TlsErrc::BadFile);
    EXPECT_THAT(error.what(), HasSubstr("localhost.pem"));
  }
  TlsServerOptions mixed = server_options_;
  mixed.certificate = {.chain = authority_.issue({.name = "one"}).chain, .key = authority_.issue({.name = "two"}).key};
  EXPECT_THROW(server().reload(mixed), std::system_error);
  EXPECT_EQ(server().options().certificate.chain, server_options_.certificate.chain);
  EXPECT_EQ(subject_seen(), "CN=localhost");
}

TEST_F(TlsContextTest, ReloadsWhomAClientTrusts) {
  const TestAuthority other("Other Authority");
  EXPECT_EQ(subject_seen(), "CN=localhost");
  TlsClientOptions options = client_options_;
  options.authorities_file = other.file();
  client().reload(options);
  EXPECT_EQ(subject_seen(), make_error_code(TlsErrc::UnknownAuthority).message());
}

}  // namespace
}  // namespace snowfox
