#include <snowfox/context/pid_file.h>

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>

#include <gtest/gtest.h>

#include "context/in_child.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

std::string content_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string error_of(const std::string& path) {
  try {
    PidFile file(path);
  } catch (const std::system_error& error) {
    return error.what();
  }
  return "";
}

class PidFileTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory;
  const std::string path = directory / "daemon.pid";
  const std::string own = std::to_string(::getpid());
};

TEST_F(PidFileTest, HoldsThePidWhileItLives) {
  {
    const PidFile file(path);
    EXPECT_EQ(content_of(path), own + "\n");
  }
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST_F(PidFileTest, MayBeReadByOthersWhateverTheUmask) {
  const mode_t before = ::umask(077);
  const PidFile file(path);
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644U);
}

TEST_F(PidFileTest, NamesTheInstanceThatRuns) {
  const PidFile file(path);
  EXPECT_EQ(error_of(path), "pid file " + path + ": another instance is running, pid " + own + ": File exists");
  // The same from another process.
  EXPECT_EQ(in_child([&] { return error_of(path); }),
            "pid file " + path + ": another instance is running, pid " + own + ": File exists");
  EXPECT_EQ(content_of(path), own + "\n");
}

// The number in it may by now be that of somebody else: it is the lock that counts.
TEST_F(PidFileTest, TakesOverTheFileOfOneThatCrashed) {
  std::ofstream(path) << ::getppid() << "\n";
  const PidFile file(path);
  EXPECT_EQ(content_of(path), own + "\n");
}

TEST_F(PidFileTest, TakesOverTheFileOfOneThatWasKilled) {
  const std::string killed = in_child([&] {
    static std::unique_ptr<PidFile> never_destroyed;
    never_destroyed = std::make_unique<PidFile>(path);
    return content_of(path);
  });
  EXPECT_EQ(content_of(path), killed);
  const PidFile file(path);
  EXPECT_EQ(content_of(path), own + "\n");
}

TEST_F(PidFileTest, TakesOverAnEmptyFile) {
  std::ofstream file(path);
  file.close();
  EXPECT_EQ(error_of(path), "");
}

TEST_F(PidFileTest, LeavesAFileAloneThatIsSomethingElse) {
  std::ofstream(path) << "precious\n";
  EXPECT_EQ(error_of(path), "pid file " + path + " is something else, which is left alone: Invalid argument");
  EXPECT_EQ(content_of(path), "precious\n");
}

TEST_F(PidFileTest, FollowsNoLink) {
  std::ofstream(directory / "target").close();
  ASSERT_EQ(::symlink((directory / "target").c_str(), path.c_str()), 0);
  EXPECT_EQ(error_of(path), "pid file " + path + ": Too many levels of symbolic links");
}

TEST_F(PidFileTest, SaysWhyItCannotBeWritten) {
  EXPECT_EQ(error_of(directory / "missing/daemon.pid"),
            "pid file " + (directory / "missing/daemon.pid") + ": No such file or directory");
}

TEST_F(PidFileTest, DoesNotRemoveTheFileOfASuccessor) {
  std::optional<PidFile> file(std::in_place, path);
  ASSERT_EQ(::unlink(path.c_str()), 0);
  const PidFile successor(path);
  file.reset();
  EXPECT_EQ(content_of(path), own + "\n");
}

}  // namespace
}  // namespace snowfox
