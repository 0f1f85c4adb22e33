// The parts of tally, each alone: no test here needs a network, a second process or a pause.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <snowfox/core/event_drain.h>
#include <snowfox/core/loop_manager.h>

#include "count_received.h"
#include "datagram_source.h"
#include "journal_drain.h"
#include "query_source.h"
#include "totals.h"

namespace tally {
namespace {

using testing::ElementsAre;
using testing::Pair;

void run_what_is_ready(snowfox::LoopManager& loop) {
  while (auto event = loop.wait(snowfox::Duration::zero())) loop.dispatch(std::move(event));
}

/// Keeps what is said.
class RecordingDrain final : public snowfox::EventDrain {
 public:
  explicit RecordingDrain(snowfox::LoopManager& loop) : EventDrain(loop) {}
  using EventDrain::enqueue;
  void enqueue(std::span<const std::byte> bytes) override {
    said.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  bool flush() override { return true; }
  std::string name() const override { return "recording"; }

  std::string said;
};

/// A directory of its own, gone with all that is in it when the test ends.
class Scratch {
 public:
  Scratch() {
    std::string name = testing::TempDir() + "tally-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::system_category(), name);
    path_ = name;
  }
  ~Scratch() { std::filesystem::remove_all(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::string contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string why_bad(std::string_view text) {
  try {
    parse_count(text);
    return "good";
  } catch (const BadCount& bad) {
    return bad.what();
  }
}

TEST(TotalsTest, ReadsNameAndValue) {
  EXPECT_EQ(parse_count("web.hits:1").name, "web.hits");
  EXPECT_EQ(parse_count("web.hits:17\n").value, 17);
  EXPECT_EQ(parse_count("a-b_c:4294967295").value, 4294967295);
  const std::string longest(64, 'x');
  EXPECT_EQ(parse_count(longest + ":0").name, longest);
}

TEST(TotalsTest, SaysWhatIsWrong) {
  for (const std::string_view text : {"", "web.hits", "\n"}) EXPECT_EQ(why_bad(text), "expected NAME:VALUE");
  EXPECT_EQ(why_bad(":1"), "a name has 1 to 64 characters");
  const std::string too_long(65, 'x');
  EXPECT_EQ(why_bad(too_long + ":1"), "a name has 1 to 64 characters");
  EXPECT_EQ(why_bad("web hits:1"), "a name has letters, digits, dots, dashes and underscores only");
  for (const std::string_view text : {"a:", "a:-1", "a:1.5", "a:4294967296", "a:1\n\n", "a:1|c", "a: 1"}) {
    EXPECT_EQ(why_bad(text), "expected a number up to 4294967295 after the colon") << text;
  }
}

TEST(TotalsTest, TakesNoMoreNamesThanTheLimit) {
  Totals totals;
  for (std::size_t i = 0; i < Totals::kMaxNames; ++i) totals.add({std::to_string(i), 1});
  EXPECT_THROW(totals.add({"one.more", 1}), BadCount);
  totals.add({"0", 1});
  EXPECT_EQ(totals.of("0"), 2);
  EXPECT_EQ(totals.of("one.more"), std::nullopt);
}

/// A source at one end of a pair of sockets; the test has the other.
struct DatagramsFixture : testing::Test {
  DatagramsFixture() {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) throw std::bad_alloc();
    sender = snowfox::Descriptor(loop.io(), ends[0]);
    source.emplace(loop, snowfox::Descriptor(loop.io(), ends[1]), [this](std::string_view datagram) {
      return std::make_unique<CountReceived>(totals, datagram, loop.ids().next(), journal.id());
    });
  }
  void send(std::string_view datagram) const {
    ASSERT_EQ(::send(sender.get(), datagram.data(), datagram.size(), 0), static_cast<ssize_t>(datagram.size()));
  }

  Totals totals;
  snowfox::LoopManager loop;
  RecordingDrain journal{loop};
  snowfox::Descriptor sender;
  std::optional<DatagramSource> source;
};
using DatagramSourceTest = DatagramsFixture;
using CountReceivedTest = DatagramsFixture;
using SlowJournalTest = DatagramsFixture;

TEST_F(DatagramSourceTest, MakesAnEventOfEachDatagram) {
  send("web.hits:1");
  send("");
  EXPECT_NE(source->parse(), nullptr);
  EXPECT_NE(source->parse(), nullptr);
  EXPECT_EQ(source->parse(), nullptr);
}

TEST_F(DatagramSourceTest, LeavesDatagramsToTheKernelWhilePaused) {
  send("web.hits:1");
  source->pause();
  run_what_is_ready(loop);
  EXPECT_EQ(totals.of("web.hits"), std::nullopt);
  source->resume();
  run_what_is_ready(loop);
  EXPECT_EQ(totals.of("web.hits"), 1);
}

TEST_F(DatagramSourceTest, EndsTheLoopIfItsSocketFails) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
  const snowfox::Descriptor writer(loop.io(), ends[1]);
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  source.emplace(loop, snowfox::Descriptor(loop.io(), ends[0]), [](std::string_view) { return nullptr; });
  EXPECT_EQ(loop.run(), 1);
}

TEST_F(CountReceivedTest, CountsAndWritesDown) {
  send("web.hits:1\n");
  send("web.hits:4294967295");
  run_what_is_ready(loop);
  EXPECT_THAT(totals.all(), ElementsAre(Pair("web.hits", 4294967296)));
  EXPECT_EQ(journal.said, "web.hits:1\nweb.hits:4294967295\n");
}

TEST_F(CountReceivedTest, IgnoresWhatIsNoCount) {
  send("web.hits");
  send("");
  send("web.hits:1" + std::string(DatagramSource::kMaxBytes, ' '));
  run_what_is_ready(loop);
  EXPECT_TRUE(totals.all().empty());
  EXPECT_EQ(journal.said, "");
  EXPECT_EQ(loop.counters().rescued, 3);
  EXPECT_EQ(loop.counters().failed, 0);
}

TEST(JournalDrainTest, AppendsWithOneWriteATurn) {
  const Scratch scratch;
  std::ofstream(scratch / "journal") << "web.hits:1\nweb.hi";
  snowfox::LoopManager loop;
  JournalDrain journal(loop, scratch / "journal");
  journal.enqueue("web.hits:2\n");
  journal.enqueue("web.hits:3\n");
  EXPECT_EQ(contents(scratch / "journal"), "web.hits:1\nweb.hi");
  run_what_is_ready(loop);
  EXPECT_EQ(contents(scratch / "journal"), "web.hits:1\nweb.hi\nweb.hits:2\nweb.hits:3\n");
}

// Goal: a slow journal pauses whoever writes to it. A pipe is as slow as its reader, and here nobody reads at first.
TEST_F(SlowJournalTest, PausesTheDatagramsWhileTooMuchWaits) {
  const Scratch scratch;
  const std::string path = scratch / "pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  JournalDrain slow(loop, path);
  const snowfox::Descriptor reader(loop.io(), ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  slow.bind(source->id());

  std::size_t enqueued_bytes = 0;
  for (const std::string line(1000, 'x'); !slow.congested(); enqueued_bytes += line.size()) {
    slow.enqueue(line);
    run_what_is_ready(loop);
  }
  EXPECT_TRUE(source->paused());
  send("web.hits:1");
  run_what_is_ready(loop);
  EXPECT_EQ(totals.of("web.hits"), std::nullopt);

  std::size_t received_bytes = 0;
  std::array<std::byte, 4096> bytes;
  for (ssize_t size = 0; (size = loop.io().read(reader.get(), bytes)) > 0; run_what_is_ready(loop)) {
    received_bytes += static_cast<std::size_t>(size);
  }
  EXPECT_EQ(received_bytes, enqueued_bytes);
  EXPECT_FALSE(source->paused());
  EXPECT_EQ(totals.of("web.hits"), 1);
}

TEST(JournalDrainTest, EndsTheLoopWhenTheDiskIsFull) {
  snowfox::LoopManager loop;
  JournalDrain journal(loop, "/dev/full");
  journal.enqueue("web.hits:1\n");
  EXPECT_EQ(loop.run(), 1);
  EXPECT_GE(loop.counters().dropped_bytes, 11U) << "what is lost is counted";
}

TEST(JournalDrainTest, SaysWhyTheFileCannotBeOpened) {
  snowfox::LoopManager loop;
  try {
    JournalDrain journal(loop, "/nowhere/journal");
    FAIL() << "opened";
  } catch (const std::system_error& error) {
    EXPECT_STREQ(error.what(), "open journal /nowhere/journal: No such file or directory");
  }
}

/// What a client is told that sends `pieces`, and whether it may go on.
std::pair<std::string, bool> told(const std::vector<std::string_view>& pieces) {
  Totals totals;
  totals.add({"web.hits", 3});
  snowfox::LoopManager loop;
  RecordingDrain answers(loop);
  QuerySource client(loop, nullptr, totals, answers.id());
  for (const std::string_view piece : pieces) {
    client.feed(std::as_bytes(std::span(piece)));
    run_what_is_ready(loop);
  }
  return {answers.said, client.open()};
}

TEST(QuerySourceTest, AnswersTheSameHoweverTheBytesAreCut) {
  constexpr std::string_view kSent = "get web.hits\nget\r\n\nlist\r\nget web\nlis";
  const auto whole = told({kSent});
  EXPECT_EQ(whole.first,
            "3\n"
            "error: expected `get NAME` or `list`\n"
            "error: expected `get NAME` or `list`\n"
            "web.hits 3\nend\n"
            "error: nothing was counted under that name\n");
  EXPECT_TRUE(whole.second);
  for (std::size_t cut = 1; cut < kSent.size(); ++cut) {
    EXPECT_EQ(told({kSent.substr(0, cut), kSent.substr(cut)}), whole) << "cut after " << cut << " bytes";
  }
}

TEST(QuerySourceTest, EndsWithALineThatIsTooLong) {
  const std::string longest = "get " + std::string(QuerySource::kMaxLineBytes - 4, 'x');
  EXPECT_EQ(told({longest, "\nlist\n"}), told({"get x\nlist\n"}));
  for (const std::string& too_long : {longest + "x", longest + "x\nlist\n"}) {
    const auto [said, open] = told({"get web.hits\n", too_long, "list\n"});
    EXPECT_EQ(said, "3\n");
    EXPECT_FALSE(open);
  }
}

}  // namespace
}  // namespace tally
