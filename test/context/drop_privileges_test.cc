#include <snowfox/context/drop_privileges.h>

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "context/in_child.h"

namespace snowfox {
namespace {

/// A line of /proc/self/status, with single blanks.
std::string status_of(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(name + ":")) continue;
    std::istringstream words(line.substr(name.size() + 1));
    std::string all;
    for (std::string word; words >> word;) all += (all.empty() ? "" : " ") + word;
    return all;
  }
  return "?";
}

std::string four_times(unsigned id) {
  const std::string text = std::to_string(id);
  return text + " " + text + " " + text + " " + text;
}

std::string error_of(const std::string& user, const std::string& group) {
  try {
    drop_privileges(user, group);
  } catch (const std::system_error& error) {
    return error.what();
  }
  return "no error";
}

class DropPrivilegesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can drop privileges";
    if (nobody == nullptr) GTEST_SKIP() << "there is no user called nobody";
  }
  const passwd* nobody = ::getpwnam("nobody");
};

TEST_F(DropPrivilegesTest, BecomesTheUserForGood) {
  const uid_t uid = nobody->pw_uid;
  const gid_t gid = nobody->pw_gid;
  const std::string told = in_child([] {
    drop_privileges("nobody", "");
    return status_of("Uid") + "|" + status_of("Gid") + "|" + status_of("Groups") + "|" + status_of("CapPrm") + "|" +
           status_of("CapEff") + "|" + status_of("CapInh") + "|" + status_of("CapAmb") + "|" +
           (::setuid(0) == 0 || ::seteuid(0) == 0 ? "root again" : "for good");
  });
  const std::string none = "0000000000000000";
  EXPECT_EQ(told, four_times(uid) + "|" + four_times(gid) + "|" + std::to_string(gid) + "|" + none + "|" + none + "|" +
                      none + "|" + none + "|for good");
}

TEST_F(DropPrivilegesTest, TakesNumbersAndAGroupOfItsOwn) {
  EXPECT_EQ(in_child([] {
              drop_privileges("4242", "4343");
              return status_of("Uid") + "|" + status_of("Gid") + "|" + status_of("Groups");
            }),
            four_times(4242) + "|" + four_times(4343) + "|4343");
}

TEST_F(DropPrivilegesTest, ChangesTheGroupAlone) {
  EXPECT_EQ(in_child([] {
              drop_privileges("", "4343");
              return status_of("Uid") + "|" + status_of("Gid") + "|" + status_of("Groups");
            }),
            four_times(0) + "|" + four_times(4343) + "|4343");
}

TEST_F(DropPrivilegesTest, RefusesWithoutBeingRoot) {
  EXPECT_EQ(in_child([] {
              drop_privileges("4242", "4343");
              return error_of("nobody", "");
            }),
            "run as user nobody: only root may, and this is user 4242: Operation not permitted");
}

TEST_F(DropPrivilegesTest, HasNothingToDoForOneWhoIsThatAlready) {
  EXPECT_EQ(in_child([] {
              drop_privileges("4242", "4343");
              return error_of("4242", "4343");
            }),
            "no error");
}

TEST_F(DropPrivilegesTest, NamesWhoDoesNotExist) {
  EXPECT_EQ(error_of("no-such-user", ""), "user 'no-such-user' does not exist: Invalid argument");
  EXPECT_EQ(error_of("nobody", "no-such-group"), "group 'no-such-group' does not exist: Invalid argument");
  EXPECT_EQ(error_of("4242", ""), "user 4242 has no group of its own: name one: Invalid argument");
}

TEST(DropPrivilegesWithoutAUserTest, DoesNothing) { EXPECT_EQ(error_of("", ""), "no error"); }

}  // namespace
}  // namespace snowfox
