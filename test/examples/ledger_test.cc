#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "examples/program.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

class LedgerTest : public ::testing::Test {
 protected:
  /// What it answers to `input`.
  std::string answers(const std::string& input) {
    const std::string command = "printf '" + input + "' | " SNOWFOX_PROGRAM_DIRECTORY "/ledger " +
                                (directory_ / "lines.db") + " >" + (directory_ / "answers");
    EXPECT_EQ(std::system(command.c_str()), 0);
    return contents(directory_ / "answers");
  }

  TemporaryDirectory directory_;
};

TEST_F(LedgerTest, KeepsLinesFromOneRunToTheNext) {
  EXPECT_EQ(answers("one\\ntwo\\nthree"), "kept 1\nkept 2\nkept 3\n");
  EXPECT_EQ(answers("four\\n"), "kept 4\n");
  EXPECT_EQ(answers("?\\n"), "4: four\n3: three\n2: two\n1: one\n");
}

TEST_F(LedgerTest, SaysWhatFileItCannotOpen) {
  const auto [exit_code, said] = refusal("ledger", {"/no/such/directory/lines.db"});
  EXPECT_EQ(exit_code, 1);
  EXPECT_EQ(said, "ledger: make the database /no/such/directory/lines.db: No such file or directory\n");
}

}  // namespace
}  // namespace snowfox
