#include <snowfox/context/inherited_listeners.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include <gtest/gtest.h>

#include "context/environment.h"
#include "context/in_child.h"
#include "support/manual_loop.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

/// Calls `function` in a process that was started with `descriptors`, as systemd does.
std::string started_with(const std::vector<int>& descriptors, const std::string& names,
                         const std::function<std::string()>& function, const std::string& count = "") {
  return in_child([&] {
    // First out of the way, then to where they belong.
    std::vector<int> copies;
    for (const int fd : descriptors) copies.push_back(::fcntl(fd, F_DUPFD, 100));
    for (std::size_t i = 0; i < copies.size(); ++i) ::dup2(copies[i], 3 + static_cast<int>(i));
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", (count.empty() ? std::to_string(descriptors.size()) : count).c_str(), 1);
    ::setenv("LISTEN_FDNAMES", names.c_str(), 1);
    return function();
  });
}

std::string told(const InheritedListeners& inherited) {
  std::string all;
  for (const auto& one : inherited.all()) all += one.name + "=" + one.address.str() + (one.taken ? "+ " : " ");
  return all;
}

class InheritedListenersTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory;
  const Address path = Address::unix_socket(directory / "api.sock");
  Descriptor on_path = Io::system().listen(path, {});
  Descriptor on_port = Io::system().listen(Address::parse("127.0.0.1:0"), {});
  const Address port = Io::system().local_address(on_port.get());
};

TEST_F(InheritedListenersTest, KnowTheirNamesAndAddresses) {
  EXPECT_EQ(started_with({on_path.get(), on_port.get()}, "api:web",
                         [] { return told(InheritedListeners::from_environment()); }),
            "api=" + path.str() + " web=" + port.str() + " ");
  EXPECT_EQ(
      started_with({on_path.get(), on_port.get()}, "", [] { return told(InheritedListeners::from_environment()); }),
      "unknown=" + path.str() + " unknown=" + port.str() + " ");
}

TEST_F(InheritedListenersTest, AreNotPassedOnToChildren) {
  EXPECT_EQ(started_with({on_path.get()}, "api",
                         [] {
                           const InheritedListeners inherited = InheritedListeners::from_environment();
                           const bool variables =
                               is_set("LISTEN_FDS") || is_set("LISTEN_PID") || is_set("LISTEN_FDNAMES");
                           const int fd = inherited.all().at(0).descriptor.get();
                           const bool closes = (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
                           const bool waits = (::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
                           return std::string(variables ? "variables " : "") + (closes ? "" : "descriptor ") +
                                  (waits ? "blocking" : "");
                         }),
            "");
}

TEST_F(InheritedListenersTest, AreNoneIfTheyAreForAnotherProcess) {
  const EnvironmentVariable pid("LISTEN_PID", "1");
  const EnvironmentVariable count("LISTEN_FDS", "1");
  EXPECT_TRUE(InheritedListeners::from_environment().all().empty());
  EXPECT_FALSE(is_set("LISTEN_FDS"));
}

TEST_F(InheritedListenersTest, GoOnAsListenersWithoutLosingTheirFile) {
  const std::string result = started_with({on_path.get()}, "api", [&] {
    ManualLoop loop;
    InheritedListeners inherited = InheritedListeners::from_environment();
    auto handover = inherited.take(path);
    if (!handover) return std::string("not found");
    int accepted = 0;
    {
      const ListenerSource listener(*loop, std::move(*handover), {},
                                    [&](const ListenerSource::Connection&) { ++accepted; });
      const Descriptor client = connect_to(path);
      loop.turn();
    }
    return told(inherited) + std::to_string(accepted) +
           (::access((directory / "api.sock").c_str(), F_OK) == 0 ? "" : " gone");
  });
  EXPECT_EQ(result, "api=" + path.str() + "+ 1");
}

TEST_F(InheritedListenersTest, ServeWhoAsksForEveryInterface) {
  const Descriptor everywhere = Io::system().listen(Address::parse("[::]:0"), {});
  const std::string port_text = std::to_string(Io::system().local_address(everywhere.get()).port());
  EXPECT_EQ(
      started_with({everywhere.get()}, "web",
                   [&] {
                     InheritedListeners inherited = InheritedListeners::from_environment();
                     return std::string(inherited.take(Address::parse("127.0.0.1:" + port_text)) ? "loopback " : "") +
                            (inherited.take(Address::parse("*:" + port_text)) ? "everywhere" : "");
                   }),
      "everywhere");
}

TEST_F(InheritedListenersTest, SayWhatIsWrongWithThem) {
  const auto from_environment = [] { return told(InheritedListeners::from_environment()); };
  const auto pair = make_socket_pair();
  EXPECT_EQ(started_with({pair.first.get()}, "api", from_environment),
            "threw inherited descriptor 3 (api) is no listening stream socket: Invalid argument");
  EXPECT_EQ(started_with({}, "", from_environment, "many"), "threw LISTEN_FDS=many is no number: Invalid argument");
  EXPECT_EQ(started_with({}, "", from_environment, "-1"), "threw LISTEN_FDS=-1 is no number: Invalid argument");
  EXPECT_EQ(started_with(
                {on_path.get()}, "api",
                [&] {
                  ::close(4);
                  return from_environment();
                },
                "2"),
            "threw inherited descriptor 4 (unknown): Bad file descriptor");
}

}  // namespace
}  // namespace snowfox
