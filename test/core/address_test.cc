#include <snowfox/core/address.h>

#include <netinet/in.h>
#include <sys/un.h>

#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace snowfox {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(AddressTest, ReadsEachSpelling) {
  EXPECT_EQ(Address::parse("7000").str(), "tcp:127.0.0.1:7000");
  EXPECT_EQ(Address::parse("0").port(), 0);
  EXPECT_EQ(Address::parse("tcp:7000").str(), "tcp:127.0.0.1:7000");
  EXPECT_EQ(Address::parse("localhost:65535").str(), "tcp:127.0.0.1:65535");
  EXPECT_EQ(Address::parse("*:80").str(), "tcp:0.0.0.0:80");
  EXPECT_EQ(Address::parse("10.1.2.3:1").str(), "tcp:10.1.2.3:1");
  EXPECT_EQ(Address::parse("tcp:10.1.2.3:1").str(), "tcp:10.1.2.3:1");
  EXPECT_EQ(Address::parse("[::1]:7000").str(), "tcp:[::1]:7000");
  EXPECT_EQ(Address::parse("tcp:[::]:7000").family(), AF_INET6);
  EXPECT_EQ(Address::parse("unix:/run/x.sock").path(), "/run/x.sock");
  EXPECT_EQ(Address::parse("unix:/odd:7000").path(), "/odd:7000");
}

TEST(AddressTest, ReadsWhatItWrites) {
  for (const char* text : {"tcp:127.0.0.1:7000", "tcp:[fe80::1]:1", "unix:relative.sock", "unix:/run/with space"}) {
    EXPECT_EQ(Address::parse(text).str(), text);
    EXPECT_EQ(Address::parse(Address::parse(text).str()), Address::parse(text));
  }
}

// Goal: each message quotes what it was given and says what is wrong.
TEST(AddressTest, RefusesNonsenseAndSaysWhy) {
  for (const char* text : {"", ":", "tcp:", "port", "1.2.3.4:", "70000", "65536", "-1", "+1", "1.2.3.4:7000x", " 7000",
                           "0x50", "1.2.3.4:99999999999999999999"}) {
    EXPECT_THAT([&] { Address::parse(text); }, ThrowsMessage<std::invalid_argument>(
                                                   AllOf(HasSubstr("'" + std::string(text) + "'"), HasSubstr("port"))))
        << text;
  }
  for (const char* text : {":7000", "example.org:80", "1.2.3:80", "[::g]:80", "[]:80", "256.1.1.1:80"}) {
    EXPECT_THAT([&] { Address::parse(text); },
                ThrowsMessage<std::invalid_argument>(HasSubstr("expected an IP address, localhost or *")))
        << text;
  }
  EXPECT_THAT([] { Address::parse("::1:7000"); }, ThrowsMessage<std::invalid_argument>(HasSubstr("brackets")));
  EXPECT_THAT([] { Address::parse("unix:"); }, ThrowsMessage<std::invalid_argument>(HasSubstr("path")));
}

// Goal: what is refused is told whole and on one line, whatever is in it; nothing is read only up to a zero byte.
TEST(AddressTest, RefusesAZeroByteAndSaysWhy) {
  EXPECT_THAT([] { Address::parse(std::string_view("127.0.0.1\0x:80", 14)); },
              ThrowsMessage<std::invalid_argument>("address '127.0.0.1?x': an IP address has no zero byte"));
  EXPECT_THAT([] { Address::parse(std::string_view("unix:/a\0b", 9)); },
              ThrowsMessage<std::invalid_argument>("address '/a?b': the path of a Unix socket has no zero byte"));
}

TEST(AddressTest, TakesAPathAsLongAsTheKernelDoes) {
  const std::string most(107, 'p');
  EXPECT_EQ(Address::unix_socket(most).path(), most);
  EXPECT_THAT([&] { Address::unix_socket(most + "p"); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("at most 107 bytes, this one has 108")));
  EXPECT_THROW(Address::unix_socket(std::string("a\0b", 3)), std::invalid_argument);
}

// Goal: a hostile text cannot fill a log with itself.
TEST(AddressTest, QuotesOnlyTheBeginningOfALongText) {
  try {
    Address::parse(std::string(100'000, 'x'));
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_LT(std::string(error.what()).size(), 400U);
  }
  std::string text = "\u00e9:1";
  text.insert(0, 199, 'x');
  EXPECT_THAT([&] { Address::parse(text); }, ThrowsMessage<std::invalid_argument>(HasSubstr("xxx'")))
      << "a character was cut in two";
}

TEST(AddressTest, ComparesByWhatItNames) {
  EXPECT_EQ(Address::parse("7000"), Address::parse("tcp:localhost:7000"));
  EXPECT_FALSE(Address::parse("7000") == Address::parse("7001"));
  EXPECT_FALSE(Address::parse("7000") == Address::parse("[::1]:7000"));
  EXPECT_FALSE(Address::parse("unix:/a") == Address::parse("unix:/b"));
  EXPECT_FALSE(Address::parse("unix:7000") == Address::parse("7000"));
  EXPECT_EQ(Address(), Address());
}

TEST(AddressTest, SaysSoWhenItIsNone) {
  const Address none;
  EXPECT_EQ(none.str(), "none");
  EXPECT_EQ(none.port(), 0);
  EXPECT_EQ(none.path(), "");
  EXPECT_FALSE(none.is_unix());
}

TEST(AddressTest, HasNoPathForAUnixPeerWithoutAName) {
  sockaddr_un unnamed{};
  unnamed.sun_family = AF_UNIX;
  const auto address = Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed.sun_family);
  EXPECT_TRUE(address.is_unix());
  EXPECT_EQ(address.path(), "");
  EXPECT_EQ(address.str(), "unix:");
}

}  // namespace
}  // namespace snowfox
