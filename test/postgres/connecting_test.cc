#include <snowfox/postgres/postgres_database.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <snowfox/promises/sleep.h>

#include "postgres_fixture.h"

namespace snowfox {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A port at which somebody accepts and says nothing; or, closed, at which nobody does.
class SilentPort {
 public:
  SilentPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const Address any = Address::tcp("127.0.0.1", 0);
    if (::bind(fd_, any.data(), any.size()) != 0 || ::listen(fd_, 100) != 0) throw std::runtime_error("no port");
    port_ = std::to_string(Io::system().local_address(fd_).port());
  }
  ~SilentPort() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  const std::string& port() const noexcept { return port_; }

 private:
  int fd_;
  std::string port_;
};

class PostgresConnectingTest : public PostgresTest {
 protected:
  /// What the status says after the first attempt.
  std::string first_error() {
    open();
    run_until(loop, [&] { return db->status().state == PostgresState::Waiting; });
    EXPECT_EQ(db->status().state, PostgresState::Waiting);
    return db->status().last_error;
  }
};

TEST_F(PostgresConnectingTest, SaysThatThePasswordIsWrongAndNotWhichItWas) {
  options.uri = in_schema(cluster().uri_with("", "wrong-secret"));
  const std::string error = first_error();
  EXPECT_THAT(error, HasSubstr("password authentication failed for user \"snowfox\""));
  EXPECT_THAT(error, Not(HasSubstr("wrong-secret")));
  for (const auto& line : sink.lines) {
    for (const auto& field : line.fields) EXPECT_THAT(field.second, Not(HasSubstr("wrong-secret")));
  }
}

TEST_F(PostgresConnectingTest, SaysThatThereIsNoSuchDatabase) {
  const std::string uri = cluster().uri();
  options.uri = uri.substr(0, uri.rfind('/')) + "/nowhere";
  EXPECT_THAT(first_error(), HasSubstr("database \"nowhere\" does not exist"));
}

TEST_F(PostgresConnectingTest, GoesOnTryingAPortThatRefuses) {
  SilentPort port;
  port.close();
  options.uri = cluster().uri_with(port.port());
  open();
  auto waiting = db->write({.deadline = 300ms}, insert("never"));
  const auto error = failure(loop, std::move(waiting));
  EXPECT_EQ(code_of(error), Errc::DeadlineExceeded);
  EXPECT_THAT(describe(error), HasSubstr("Connection refused"));
  EXPECT_EQ(db->status().connects, 0U);
  EXPECT_GE(sink.count("not connected"), 2U);
}

TEST_F(PostgresConnectingTest, GivesUpAServerThatAcceptsAndIsSilent) {
  const SilentPort port;
  options.uri = cluster().uri_with(port.port());
  options.connect_timeout = 50ms;
  EXPECT_THAT(first_error(), HasSubstr("the server did not answer in time"));
}

TEST_F(PostgresConnectingTest, LooksUpNamesWithoutHoldingUpTheLoop) {
  const std::string uri = cluster().uri();
  const std::size_t at = uri.find("127.0.0.1");
  options.uri = in_schema(uri.substr(0, at) + "localhost" + uri.substr(at + 9));
  open_and_wait();
  outcome(loop, db->write(insert("by name")));
}

TEST_F(PostgresConnectingTest, SaysThatANameIsNotKnown) {
  options.uri = "postgresql://snowfox:reynard-the-fox@no-such-host.invalid/postgres";
  EXPECT_THAT(first_error(), HasSubstr("look up no-such-host.invalid: "));
}

TEST_F(PostgresConnectingTest, TakesTheNextHostWhereTheFirstRefuses) {
  SilentPort port;
  port.close();
  options.uri = "postgresql://snowfox:reynard-the-fox@localhost:" + port.port() + ",127.0.0.1:" + cluster().port() +
                "/postgres?options=-csearch_path%3D" + schema;
  open_and_wait();
  outcome(loop, db->write(insert("second host")));
}

TEST_F(PostgresConnectingTest, RefusesAUriThatIsNoneAndDoesNotShowIt) {
  options.uri = "postgresql://snowfox:secret-9@[::1/postgres?no=such";
  try {
    open();
    FAIL() << "it was taken";
  } catch (const PostgresError& error) {
    EXPECT_EQ(error.code(), PostgresErrc::BadUri);
    EXPECT_THAT(error.what(), Not(HasSubstr("secret-9")));
  }
}

TEST_F(PostgresConnectingTest, WhoNeedsAConnectionIsToldAtOnceThatThereIsNone) {
  options.require_connected = true;
  open();
  auto write = db->write(insert("no"));
  auto read = db->read("SELECT 1");
  ASSERT_TRUE(write.settled());
  ASSERT_TRUE(read.settled());
  EXPECT_EQ(code_of(failure(loop, std::move(write))), PostgresErrc::NotConnected);
  EXPECT_EQ(code_of(failure(loop, std::move(read))), PostgresErrc::NotConnected);
  ASSERT_TRUE(run_until(loop, [&] { return db->connected() && db->status().readers_connected == 1; }));
  outcome(loop, db->write(insert("yes")));
  EXPECT_EQ(names().size(), 1U);
}

TEST_F(PostgresConnectingTest, TheLoopEndsThoughCallsWaitForAConnectionThatDoesNotCome) {
  const SilentPort port;
  options.uri = cluster().uri_with(port.port());
  LoopOptions ending;
  ending.flush_timeout = 100ms;
  LoopManager short_loop(std::make_unique<UvPoller>(), Io::system(), log, ending);
  PostgresDatabase database(short_loop, options);
  auto write = database.write(insert("never"));
  auto read = database.read("SELECT 1");
  sleep(short_loop, 1ms).then([&] { short_loop.stop(); }).detach();
  EXPECT_EQ(short_loop.run(), 0);
  EXPECT_FALSE(write.settled());
  EXPECT_EQ(sink.count("ended with output that its readers did not take in time"), 1U);
}

}  // namespace
}  // namespace snowfox
