#include <snowfox/context/yaml_reader.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include <snowfox/context/reload.h>

#include "support/manual_loop.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

struct Settings {
  std::vector<Located<Address>> listen;
  LogSettings log;
};

void read_yaml(YamlMapping& yaml, Settings& settings) {
  yaml.required("listen", settings.listen);
  yaml.optional("log", settings.log);
}

// A program's configuration, from the file to the sockets.
class YamlReloadTest : public ::testing::Test, protected ManualLoop {
 protected:
  void write(std::string_view text) { std::ofstream(path) << text; }
  std::string error() {
    const ReloadResult result = reload.reload();
    return result.error ? result.error->what() : "";
  }
  bool serves(const std::string& name) {
    const int before = accepted;
    const Descriptor client = connect_to(Address::unix_socket(directory / name));
    turn();
    return accepted == before + 1;
  }

  TemporaryDirectory directory;
  const std::string path = directory / "node.yml";
  const std::string first = "listen:\n- unix:" + (directory / "a") + "\n";
  StaticScope statics{loop};
  int accepted = 0;
  Reload<Settings> reload{statics, [this] { return load_yaml<Settings>(path); },
                          [this](const Settings& settings, DynamicScopeBuilder& scope) {
                            scope.set_log(settings.log);
                            for (const auto& address : settings.listen) {
                              scope.listen({.address = *address, .place = address.place},
                                           [this](const ListenerSource::Connection&) { ++accepted; });
                            }
                          }};
};

TEST_F(YamlReloadTest, ChangesWhatTheFileChanges) {
  write(first);
  ASSERT_EQ(error(), "");
  EXPECT_TRUE(serves("a"));
  EXPECT_EQ(reload.reload().outcome, ReloadResult::Outcome::Unchanged);
  write(first + "- unix:" + (directory / "b") + "\nlog: {level: error}\n");
  EXPECT_EQ(error(), "");
  EXPECT_TRUE(serves("a"));
  EXPECT_TRUE(serves("b"));
  EXPECT_EQ(log.level(), LogLevel::Error);
}

TEST_F(YamlReloadTest, GoesOnWithTheOldOneAndSaysWhereTheNewOneIsWrong) {
  write(first);
  ASSERT_EQ(error(), "");
  write(first + "logs: {}\n");
  EXPECT_EQ(error(), path + ":3:1: logs: unknown key; did you mean log?");
  EXPECT_TRUE(serves("a"));
  write(first + "- unix:" + (directory / "missing/b") + "\n");
  EXPECT_EQ(error(), path + ":3:3: listen[1]: cannot listen on unix:" + (directory / "missing/b") +
                         ": No such file or directory");
  EXPECT_TRUE(serves("a"));
  write("listen: [");
  EXPECT_NE(error(), "");
  EXPECT_TRUE(serves("a"));
}

}  // namespace
}  // namespace snowfox
