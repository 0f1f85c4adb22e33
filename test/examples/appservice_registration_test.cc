#include "appservice/registration.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_directory.h"

namespace snowfox::appservice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kIrc = R"(id: irc
url: "http://127.0.0.1:9999/"
as_token: as-secret-irc
hs_token: hs-secret-irc
sender_localpart: ircbot
namespaces:
  users:
    - exclusive: true
      regex: "@irc_.*:example\\.org"
  aliases:
    - exclusive: false
      regex: "#irc_.*"
  rooms: []
)";

class RegistrationTest : public testing::Test {
 protected:
  std::string file(const std::string& name, std::string_view text) {
    std::ofstream(directory / name) << text;
    return directory / name;
  }
  /// The registration of irc with one line in another's place.
  static std::string changed(std::string_view from, std::string_view to) {
    std::string text(kIrc);
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  }
  static std::shared_ptr<const Registrations> load(const std::vector<std::string>& files) {
    return Registrations::load(files, "example.org");
  }
  static std::vector<std::string> problems(const std::vector<std::string>& files) {
    std::vector<std::string> all;
    try {
      load(files);
    } catch (const ConfigurationError& error) {
      for (const auto& problem : error.problems()) all.push_back(problem.str());
    }
    return all;
  }
  /// What is wrong with a file of this text, which is one thing.
  std::string problem(std::string_view text) {
    const auto all = problems({file("one.yaml", text)});
    EXPECT_EQ(all.size(), 1) << testing::PrintToString(all);
    return all.empty() ? "" : all.front();
  }

  TemporaryDirectory directory;
};

TEST_F(RegistrationTest, HasWhatItsFileSays) {
  const auto all = load({file("irc.yaml", kIrc)});
  ASSERT_EQ(all->size(), 1);
  const Registration& irc = (*all)[0];
  EXPECT_EQ(irc.id, "irc");
  EXPECT_EQ(irc.url, "http://127.0.0.1:9999");
  EXPECT_EQ(irc.as_token, "as-secret-irc");
  EXPECT_EQ(irc.hs_token, "hs-secret-irc");
  EXPECT_EQ(irc.user_id, "@ircbot:example.org");
  ASSERT_EQ(irc.users.size(), 1);
  EXPECT_TRUE(irc.users[0].exclusive);
  EXPECT_EQ(irc.users[0].pattern.text(), "@irc_.*:example\\.org");
  ASSERT_EQ(irc.aliases.size(), 1);
  EXPECT_FALSE(irc.aliases[0].exclusive);
  EXPECT_TRUE(irc.rooms.empty());
  EXPECT_TRUE(irc.rate_limited);
  EXPECT_FALSE(irc.receive_ephemeral);
  EXPECT_THAT(all->notes(), testing::IsEmpty());
}

TEST_F(RegistrationTest, HasNoUrlOnlyIfTheFileSaysSo) {
  EXPECT_EQ((*load({file("a.yaml", changed("url: \"http://127.0.0.1:9999/\"", "url: null"))}))[0].url, std::nullopt);
  EXPECT_THAT(problem(changed("url: \"http://127.0.0.1:9999/\"\n", "")), AllOf(HasSubstr("url"), HasSubstr("missing")));
}

TEST_F(RegistrationTest, TakesUrlsWithAPathAndAddressesOfSixBytes) {
  const auto url = [&](const std::string& given) {
    return (*load({file("a.yaml", changed("http://127.0.0.1:9999/", given))}))[0].url.value_or("none");
  };
  EXPECT_EQ(url("https://bridge.example.org/irc/"), "https://bridge.example.org/irc");
  EXPECT_EQ(url("http://[::1]:9000"), "http://[::1]:9000");
  EXPECT_EQ(url("http://[::1]/a/b//"), "http://[::1]/a/b");
  EXPECT_EQ(url("HTTP://host"), "HTTP://host");
}

TEST_F(RegistrationTest, RefusesUrlsThatNameNoServerWithoutShowingThem) {
  for (const char* url :
       {"ftp://host", "host:80", "", "http://", "http:///x", "http://:80", "http://host:0", "http://host:99999",
        "http://host:", "http://u:hidden@host", "http://host?q=hidden", "http://host#hidden", "http://ho st",
        "http://[::1", "http://[::1]x", "http://[]:80", "http://host/\\r\\nX: hidden"}) {
    EXPECT_THAT(problem(changed("http://127.0.0.1:9999/", url)),
                AllOf(HasSubstr(":2:"), HasSubstr("url"), Not(HasSubstr("hidden"))))
        << url;
  }
}

TEST_F(RegistrationTest, RefusesWhatMatrixCannotHave) {
  EXPECT_THAT(problem(changed("id: irc", "id: ''")),
              AllOf(HasSubstr("one.yaml:1"), HasSubstr("id: must not be empty")));
  EXPECT_THAT(problem(changed("id: irc", "id: a|b")), HasSubstr("'|'"));
  EXPECT_THAT(problem(changed("id: irc", "id: [a]")), HasSubstr("id"));
  EXPECT_THAT(problem(changed("ircbot", "'irc bot'")), HasSubstr("sender_localpart"));
  EXPECT_THAT(problem(changed("ircbot", "'bät'")), HasSubstr("sender_localpart"));
  EXPECT_THAT(problem(changed("ircbot", "'a:b'")), HasSubstr("sender_localpart"));
  EXPECT_THAT(problem(changed("ircbot", std::string(250, 'a'))), HasSubstr("longer than 255 bytes"));
  EXPECT_THAT(problem(changed("    - exclusive: true\n      regex", "    - regex")),
              HasSubstr("namespaces.users[0].exclusive"));
}

TEST_F(RegistrationTest, NamesTheOffsetOfWhatIsNoRegularExpression) {
  EXPECT_THAT(problem(changed("#irc_.*", "#irc_(.*")),
              AllOf(HasSubstr("one.yaml:12:"), HasSubstr("namespaces.aliases[0].regex"), HasSubstr("offset 8")));
}

TEST_F(RegistrationTest, ShowsNoToken) {
  for (const char* token : {"'two words hidden'", "\"hidden\\r\\nX: y\"", "[hidden]", "{hidden: 1}"}) {
    for (const char* which : {"as-secret-irc", "hs-secret-irc"}) {
      EXPECT_THAT(problem(changed(which, token)), AllOf(HasSubstr("s_token"), Not(HasSubstr("hidden"))));
    }
  }
}

TEST_F(RegistrationTest, TellsAllProblemsOfAllFiles) {
  const auto all = problems({file("a.yaml", "id: a\nurl: null\n"), file("b.yaml", changed("id: irc", "id: ''")),
                             directory / "none.yaml", file("c.yaml", "- no mapping"), file("d.yaml", "{")});
  EXPECT_THAT(all, testing::Contains(AllOf(HasSubstr("a.yaml"), HasSubstr("as_token"))));
  EXPECT_THAT(all, testing::Contains(AllOf(HasSubstr("a.yaml"), HasSubstr("hs_token"))));
  EXPECT_THAT(all, testing::Contains(AllOf(HasSubstr("a.yaml"), HasSubstr("sender_localpart"))));
  EXPECT_THAT(all, testing::Contains(AllOf(HasSubstr("a.yaml"), HasSubstr("namespaces"))));
  for (const char* name : {"b.yaml:1", "none.yaml", "c.yaml", "d.yaml"}) {
    EXPECT_THAT(all, testing::Contains(HasSubstr(name)));
  }
}

TEST_F(RegistrationTest, NamesBothFilesOfWhatIsGivenTwice) {
  std::string other = changed("id: irc", "id: other");
  const std::string a = file("a.yaml", kIrc);
  const auto tokens = problems({a, file("b.yaml", other)});
  ASSERT_EQ(tokens.size(), 1);
  EXPECT_THAT(tokens[0],
              AllOf(HasSubstr("a.yaml:3"), HasSubstr("b.yaml:3"), HasSubstr("as_token"), Not(HasSubstr("secret"))));
  const auto ids = problems({a, file("c.yaml", changed("as-secret-irc", "as-secret-other"))});
  ASSERT_EQ(ids.size(), 1);
  EXPECT_THAT(ids[0], AllOf(HasSubstr("a.yaml:1"), HasSubstr("c.yaml:1"), HasSubstr("id"), HasSubstr("'irc'")));
}

TEST_F(RegistrationTest, RefusesAFileThatIsListedTwice) {
  const std::string a = file("a.yaml", kIrc);
  std::filesystem::create_symlink(a, directory / "link.yaml");
  EXPECT_THAT(problems({a, a}), ElementsAre(HasSubstr("listed twice")));
  EXPECT_THAT(problems({a, directory.path() + "/./a.yaml"}), ElementsAre(HasSubstr("listed twice")));
  EXPECT_THAT(problems({a, directory / "link.yaml"}), ElementsAre(HasSubstr("listed twice")));
}

TEST_F(RegistrationTest, IsAFileAndNoDirectory) {
  file("a.yaml", kIrc);
  EXPECT_THAT(problems({directory.path()}), ElementsAre(HasSubstr("directory")));
}

TEST_F(RegistrationTest, NotesWhatItDoesNotKnow) {
  const auto all =
      load({file("a.yaml", std::string(kIrc).append("de.sorunome.msc2409.push_ephemeral: true\nprotocols: [irc]\n"
                                                    "receive_ephemeral: true\nrate_limited: false\n"
                                                    "io.element.thing: {a: 1}\n"))});
  EXPECT_THAT((*all)[0].protocols, ElementsAre("irc"));
  EXPECT_TRUE((*all)[0].receive_ephemeral);
  EXPECT_FALSE((*all)[0].rate_limited);
  ASSERT_EQ(all->notes().size(), 2);
  EXPECT_THAT(all->notes()[0].str(), AllOf(HasSubstr("a.yaml:14:"), HasSubstr("de.sorunome")));
}

TEST_F(RegistrationTest, IsFoundByItsIdAndItsToken) {
  std::string other = changed("id: irc", "id: other");
  other.replace(other.find("as-secret-irc"), 13, "as-secret-two");
  const auto all = load({file("a.yaml", kIrc), file("b.yaml", other)});
  EXPECT_EQ(all->find("irc"), 0);
  EXPECT_EQ(all->find("other"), 1);
  EXPECT_EQ(all->find("another"), std::nullopt);
  EXPECT_EQ(all->find_by_token("as-secret-irc"), 0);
  EXPECT_EQ(all->find_by_token("as-secret-two"), 1);
  for (const char* none : {"", "as-secret", "as-secret-tw0", "hs-secret-irc", "as-secret-irc2"}) {
    EXPECT_EQ(all->find_by_token(none), std::nullopt) << none;
  }
}

}  // namespace
}  // namespace snowfox::appservice
