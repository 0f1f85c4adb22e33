#include <snowfox/core/io.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

class IoTest : public testing::Test {
 protected:
  Address in_directory(const std::string& name) const { return Address::unix_socket(directory_ / name); }
  static unsigned mode_of(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
  }
  static bool is_socket(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
  }
  /// The file of a socket whose process has died.
  void leave_stale(const Address& address) const {
    Descriptor died(io_, ::socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(::bind(died.get(), address.data(), address.size()), 0);
    ASSERT_EQ(::listen(died.get(), 1), 0);
  }
  static bool inherited(int fd) { return (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0; }
  static bool blocking(int fd) { return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0; }

  TemporaryDirectory directory_;
  Io& io_ = Io::system();
};

TEST_F(IoTest, ListensAtAnyFreePortAndTellsWhich) {
  const Descriptor listening = io_.listen(Address::parse("0"), {});
  EXPECT_NE(io_.local_address(listening.get()).port(), 0);
  EXPECT_FALSE(inherited(listening.get()));
  EXPECT_FALSE(blocking(listening.get()));
}

TEST_F(IoTest, NamesTheAddressOfAPortThatIsTaken) {
  const Descriptor first = io_.listen(Address::parse("0"), {});
  const Address taken = io_.local_address(first.get());
  EXPECT_THAT([&] { io_.listen(taken, {}); },
              ThrowsMessage<std::system_error>(AllOf(HasSubstr(taken.str()), HasSubstr("Address already in use"))));
}

TEST_F(IoTest, SharesAPortThatBothSharersWantToShare) {
  ListenOptions sharing;
  sharing.reuse_port = true;
  const Descriptor first = io_.listen(Address::parse("0"), sharing);
  const Descriptor second = io_.listen(io_.local_address(first.get()), sharing);
  EXPECT_TRUE(second);
}

TEST_F(IoTest, MakesASocketFileOfExactlyTheModeAskedFor) {
  const mode_t before = umask(0077);
  for (const unsigned mode : {0600U, 0660U, 0666U, 0777U, 0620U}) {
    ListenOptions options;
    options.unix_mode = mode;
    const std::string name = "mode" + std::to_string(mode);
    const Descriptor listening = io_.listen(in_directory(name), options);
    EXPECT_EQ(mode_of(directory_ / name), mode);
  }
  umask(0);
  const Descriptor listening = io_.listen(in_directory("default"), {});
  EXPECT_EQ(mode_of(directory_ / "default"), 0600U);
  umask(before);
}

TEST_F(IoTest, ReplacesASocketFileThatNobodyListensAt) {
  const Address address = in_directory("stale");
  leave_stale(address);
  ASSERT_TRUE(is_socket(directory_ / "stale"));
  const Descriptor listening = io_.listen(address, {});
  const Descriptor client = connect_to(address);
  EXPECT_TRUE(client);
}

TEST_F(IoTest, RefusesASocketFileThatSomebodyListensAt) {
  const Address address = in_directory("live");
  const Descriptor first = io_.listen(address, {});
  EXPECT_THAT([&] { io_.listen(address, {}); },
              ThrowsMessage<std::system_error>(AllOf(HasSubstr(address.str()), HasSubstr("Address already in use"))));
  EXPECT_TRUE(connect_to(address));
}

// Goal: somebody whose backlog is full is alive, too.
TEST_F(IoTest, RefusesASocketFileWhoseListenerIsBusy) {
  const Address address = in_directory("busy");
  ListenOptions narrow;
  narrow.backlog = 0;
  const Descriptor first = io_.listen(address, narrow);
  const Descriptor waiting = connect_to(address);
  EXPECT_THROW(io_.listen(address, {}), std::system_error);
  EXPECT_TRUE(is_socket(directory_ / "busy"));
}

TEST_F(IoTest, DeletesNothingThatIsNoSocket) {
  for (const std::string name : {"file", "directory", "link", "dangling"}) {
    const std::string path = directory_ / name;
    if (name == "file") std::ofstream(path) << "precious";
    if (name == "directory") std::filesystem::create_directory(path);
    if (name == "link") std::filesystem::create_symlink(directory_ / "file", path);
    if (name == "dangling") std::filesystem::create_symlink(directory_ / "nowhere", path);
    EXPECT_THAT([&] { io_.listen(Address::unix_socket(path), {}); },
                ThrowsMessage<std::system_error>(AllOf(HasSubstr(path), HasSubstr("Address already in use"))));
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::symlink_status(path))) << path;
  }
  std::string content;
  std::ifstream(directory_ / "file") >> content;
  EXPECT_EQ(content, "precious");
}

TEST_F(IoTest, NamesThePathOfADirectoryThatIsNotThere) {
  EXPECT_THAT([&] { io_.listen(in_directory("missing/x.sock"), {}); },
              ThrowsMessage<std::system_error>(AllOf(HasSubstr("missing/x.sock"), HasSubstr("No such file"))));
}

TEST_F(IoTest, AcceptsWithThePeersAddress) {
  const Descriptor listening = io_.listen(Address::parse("0"), {});
  Address peer;
  EXPECT_EQ(io_.accept(listening.get(), peer), -EAGAIN);
  const Descriptor client = connect_to(io_.local_address(listening.get()));
  const Descriptor accepted(io_, io_.accept(listening.get(), peer));
  ASSERT_TRUE(accepted);
  EXPECT_EQ(peer, io_.local_address(client.get()));
  EXPECT_FALSE(inherited(accepted.get()));
  EXPECT_FALSE(blocking(accepted.get()));
  EXPECT_FALSE(io_.peer_credentials(accepted.get()));
}

TEST_F(IoTest, KnowsWhoIsAtTheOtherEndOfAUnixSocket) {
  const Descriptor listening = io_.listen(in_directory("x"), {});
  const Descriptor client = connect_to(in_directory("x"));
  Address peer;
  const Descriptor accepted(io_, io_.accept(listening.get(), peer));
  const auto credentials = io_.peer_credentials(accepted.get());
  ASSERT_TRUE(credentials);
  EXPECT_EQ(credentials->pid, getpid());
  EXPECT_EQ(credentials->uid, geteuid());
  EXPECT_EQ(credentials->gid, getegid());
}

TEST_F(IoTest, TellsHowAConnectionWent) {
  const Descriptor listening = io_.listen(Address::parse("0"), {});
  const Descriptor client(io_, io_.connect(io_.local_address(listening.get())));
  ASSERT_TRUE(client);
  EXPECT_FALSE(inherited(client.get()));
  EXPECT_FALSE(blocking(client.get()));
  EXPECT_FALSE(io_.connect_result(client.get()));
  EXPECT_EQ(io_.connect(in_directory("nobody")), -ENOENT);
  leave_stale(in_directory("dead"));
  EXPECT_EQ(io_.connect(in_directory("dead")), -ECONNREFUSED);
}

TEST_F(IoTest, MovesBytesWithoutBlocking) {
  auto [one, other] = make_socket_pair();
  std::array<std::byte, 16> room{};
  EXPECT_EQ(io_.receive(other.get(), room), -EAGAIN);
  std::string hello = "hello, ";
  std::string world = "world";
  const std::array<iovec, 2> pieces{iovec{hello.data(), hello.size()}, iovec{world.data(), world.size()}};
  EXPECT_EQ(io_.send(one.get(), pieces), 12);
  EXPECT_EQ(io_.send(one.get(), std::span(pieces).first(1)), 7);
  EXPECT_EQ(receive_some(other.get()), "hello, worldhello, ");
  io_.shutdown_write(one.get());
  EXPECT_EQ(io_.receive(other.get(), room), 0);
}

// Goal: a peer that is gone is an error, never the signal that ends a process.
TEST_F(IoTest, SaysSoWhenThePeerIsGone) {
  auto [one, other] = make_socket_pair();
  other.reset();
  std::string text = "x";
  const std::array<iovec, 2> pieces{iovec{text.data(), 1}, iovec{text.data(), 1}};
  EXPECT_EQ(io_.send(one.get(), pieces), -EPIPE);
  EXPECT_EQ(io_.send(one.get(), std::span(pieces).first(1)), -EPIPE);
}

TEST_F(IoTest, ReadsAndWritesWhatIsNoSocket) {
  std::array<int, 2> fds{};
  ASSERT_EQ(pipe2(fds.data(), O_NONBLOCK | O_CLOEXEC), 0);
  const Descriptor from(io_, fds[0]);
  const Descriptor to(io_, fds[1]);
  std::string text = "through a pipe";
  const std::array<iovec, 1> pieces{iovec{text.data(), text.size()}};
  std::array<std::byte, 64> room{};
  EXPECT_EQ(io_.read(from.get(), room), -EAGAIN);
  EXPECT_EQ(io_.send(to.get(), pieces), -ENOTSOCK);
  EXPECT_EQ(io_.receive(from.get(), room), -ENOTSOCK);
  EXPECT_EQ(io_.write(to.get(), pieces), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(io_.read(from.get(), room), static_cast<ssize_t>(text.size()));
}

TEST_F(IoTest, KeepsFiles) {
  const std::string path = directory_ / "file";
  EXPECT_EQ(io_.open(path, O_RDONLY), -ENOENT);
  std::string text = "kept";
  const std::array<iovec, 1> pieces{iovec{text.data(), text.size()}};
  std::array<std::byte, 64> room{};
  {
    const Descriptor file(io_, io_.open(path, O_RDWR | O_CREAT | O_APPEND, 0600));
    ASSERT_TRUE(file);
    EXPECT_EQ(mode_of(path), 0600U);
    EXPECT_FALSE(inherited(file.get()));
    EXPECT_EQ(io_.write(file.get(), pieces), 4);
    EXPECT_EQ(io_.write(file.get(), pieces), 4);
    EXPECT_EQ(io_.sync(file.get()), 0);
    EXPECT_TRUE(io_.status(file.get())->regular);
    EXPECT_EQ(io_.status(file.get())->bytes, 8U);
    EXPECT_EQ(io_.truncate(file.get(), 6), 0);
    EXPECT_EQ(io_.status(file.get())->bytes, 6U);
  }
  EXPECT_EQ(io_.open(path, O_RDWR | O_CREAT | O_EXCL), -EEXIST);
  EXPECT_EQ(io_.rename(path, directory_ / "renamed"), 0);
  EXPECT_EQ(io_.rename(path, directory_ / "renamed"), -ENOENT);
  const Descriptor file(io_, io_.open(directory_ / "renamed", O_RDONLY));
  EXPECT_EQ(io_.read(file.get(), room), 6);
  EXPECT_EQ(io_.read(file.get(), room), 0);

  const Descriptor directory(io_, io_.open(directory_.path(), O_RDONLY | O_DIRECTORY));
  EXPECT_EQ(io_.sync(directory.get()), 0);
  EXPECT_FALSE(io_.status(directory.get())->regular);
  std::vector<std::string> names{"of another time"};
  EXPECT_EQ(io_.list(directory_.path(), names), 0);
  EXPECT_THAT(names, testing::ElementsAre("renamed"));
  EXPECT_EQ(io_.list(directory_ / "renamed", names), -ENOTDIR);
  EXPECT_EQ(io_.list(path, names), -ENOENT);
  EXPECT_EQ(io_.remove(directory_ / "renamed"), 0);
  EXPECT_EQ(io_.remove(directory_ / "renamed"), -ENOENT);
  EXPECT_EQ(io_.sync(-1), -EBADF);
  EXPECT_EQ(io_.status(-1), std::nullopt);

  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const Descriptor pipe(io_, io_.open(path, O_RDONLY));
  EXPECT_FALSE(io_.status(pipe.get())->regular) << "opened though nobody writes to it";
}

TEST_F(IoTest, KnowsWhatHasNotArrived) {
  const Descriptor listening = io_.listen(Address::parse("tcp:127.0.0.1:0"), {});
  const Descriptor theirs = connect_to(io_.local_address(listening.get()));
  Address peer;
  const Descriptor ours(io_, io_.accept(listening.get(), peer));
  EXPECT_EQ(io_.undelivered_bytes(ours.get()), 0);
  const std::string much(1U << 20, 'x');
  std::size_t sent = 0;
  for (std::size_t part = 1; part != 0;) {
    part = send_some(ours.get(), much);
    sent += part;
  }
  EXPECT_GT(io_.undelivered_bytes(ours.get()), 0);
  for (std::size_t received = 0; received < sent;) received += receive_some(theirs.get()).size();
  while (io_.undelivered_bytes(ours.get()) != 0) receive_some(theirs.get());

  // There, sent is delivered, whether it is read or not.
  const auto [one, other] = make_socket_pair();
  send_some(one.get(), "not read");
  EXPECT_EQ(io_.undelivered_bytes(one.get()), 0);
}

TEST(DescriptorTest, ClosesWhatItOwns) {
  auto [one, other] = make_socket_pair();
  const int fd = one.get();
  Descriptor moved = std::move(one);
  EXPECT_FALSE(one);
  EXPECT_EQ(moved.get(), fd);
  moved.reset();
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
  const int kept = other.release();
  EXPECT_FALSE(other);
  EXPECT_NE(fcntl(kept, F_GETFD), -1);
  const Descriptor again(Io::system(), kept);
}

TEST(DescriptorTest, ClosesWhatItHadWhenItIsGivenAnother) {
  auto [one, other] = make_socket_pair();
  const int fd = one.get();
  one = std::move(other);
  other.reset();
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
  EXPECT_NE(fcntl(one.get(), F_GETFD), -1);
}

}  // namespace
}  // namespace snowfox
