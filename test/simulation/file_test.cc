// Files of a simulated host, and what is left of them when the power has failed.
#include <fcntl.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>
#include <snowfox/drains/stream_drain.h>
#include <snowfox/simulation/seeds.h>
#include <snowfox/simulation/simulation.h>
#include <snowfox/sources/scheduler_source.h>
#include <snowfox/sources/signal_source.h>

namespace snowfox::simulation {
namespace {

using namespace std::chrono_literals;
using testing::Each;
using testing::ElementsAre;
using testing::IsSupersetOf;
using testing::Optional;
using testing::StartsWith;
using testing::UnorderedElementsAre;

void check(int result, const char* what) {
  if (result < 0) throw std::system_error(-result, std::system_category(), what);
}

Descriptor open_file(Io& io, const std::string& path, int flags) {
  const int fd = io.open(path, flags);
  check(fd, path.c_str());
  return {io, fd};
}

ssize_t write_some(Io& io, int fd, std::string_view text) {
  const std::array<iovec, 1> pieces{iovec{const_cast<char*>(text.data()), text.size()}};
  return io.write(fd, pieces);
}

void write_all(Io& io, int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write_some(io, fd, text);
    check(static_cast<int>(count), "write");
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

std::string read_all(Io& io, int fd) {
  std::string text;
  std::array<char, 100> part;
  for (;;) {
    const ssize_t count = io.read(fd, std::as_writable_bytes(std::span(part)));
    check(static_cast<int>(count), "read");
    if (count == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(count));
  }
}

void sync_directory(Io& io, const std::string& path) {
  const Descriptor directory = open_file(io, path, O_RDONLY | O_DIRECTORY);
  check(io.sync(directory.get()), "sync the directory");
}

/// Does something with files on `host`, as a process.
void as_process(Host& host, const std::function<void(Io& io)>& work) {
  host.start("process", [&](Process& process) {
    work(process.io());
    return nullptr;
  });
}

TEST(SimulatedFilesTest, AreAsTheSystemsAre) {
  Simulation world;
  Host& host = world.add_host("host");
  host.write_file("/etc/passwords", "secret\n");
  as_process(host, [](Io& io) {
    EXPECT_EQ(io.open("/var/none", O_RDONLY), -ENOENT);
    EXPECT_EQ(io.open("/etc/passwords", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
    EXPECT_EQ(io.open("/etc", O_RDWR), -EISDIR);
    EXPECT_EQ(io.open("/etc/passwords", O_RDONLY | O_DIRECTORY), -ENOTDIR);
    {
      const Descriptor file = open_file(io, "/var/file", O_RDWR | O_CREAT);
      write_all(io, file.get(), "one ");
      write_all(io, file.get(), "two ");
      EXPECT_EQ(read_all(io, file.get()), "") << "from where it is";
      EXPECT_TRUE(io.status(file.get())->regular);
      EXPECT_EQ(io.status(file.get())->bytes, 8U);
      std::array<std::byte, 8> room{};
      EXPECT_EQ(io.receive(file.get(), room), -ENOTSOCK);
      const Descriptor more = open_file(io, "/var/file", O_WRONLY | O_APPEND);
      EXPECT_EQ(io.read(more.get(), room), -EBADF);
      write_all(io, more.get(), "three");
      EXPECT_EQ(read_all(io, file.get()), "three");
      EXPECT_EQ(io.truncate(more.get(), 3), 0);
    }
    const Descriptor file = open_file(io, "/var/file", O_RDONLY);
    EXPECT_EQ(write_some(io, file.get(), "no"), -EBADF);
    EXPECT_EQ(io.rename("/var/file", "/etc/file"), 0);
    EXPECT_EQ(io.rename("/var/file", "/etc/file"), -ENOENT);
    EXPECT_EQ(read_all(io, file.get()), "one") << "under whatever name";

    std::vector<std::string> names;
    EXPECT_EQ(io.list("/etc/", names), 0);
    EXPECT_THAT(names, UnorderedElementsAre("file", "passwords"));
    EXPECT_EQ(io.list("/etc/file", names), -ENOTDIR);
    EXPECT_EQ(io.list("/var", names), -ENOENT);
    EXPECT_EQ(io.remove("/etc/file"), 0);
    EXPECT_EQ(io.remove("/etc/file"), -ENOENT);
  });
  EXPECT_THAT(host.read_file("/etc/passwords"), Optional(std::string("secret\n")));
  EXPECT_EQ(host.read_file("/etc/file"), std::nullopt);
}

TEST(SimulatedFilesTest, AreWrittenByDrainsToo) {
  Simulation world;
  Host& host = world.add_host("host");
  host.start("process", [](Process& process) {
    auto file = open_file(process.io(), "/var/log", O_WRONLY | O_CREAT | O_APPEND);
    auto& drain = process.loop().add(
        std::make_unique<StreamDrain>(process.loop(), Channel::make(process.loop(), std::move(file))));
    drain.enqueue("a line\n");
    return nullptr;
  });
  world.run_for(1s);
  EXPECT_THAT(host.read_file("/var/log"), Optional(std::string("a line\n")));
}

TEST(SimulatedFilesTest, SurviveTheirProcessAndOnlyIfSyncedThePower) {
  std::set<std::string> left;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Simulation world({.seed = seed});
    Host& host = world.add_host("host");
    as_process(host, [](Io& io) {
      const Descriptor file = open_file(io, "/var/file", O_WRONLY | O_CREAT);
      write_all(io, file.get(), "kept");
      check(io.sync(file.get()), "sync");
      sync_directory(io, "/var");
      write_all(io, file.get(), "12");
      write_all(io, file.get(), "34");
    });
    EXPECT_THAT(host.read_file("/var/file"), Optional(std::string("kept1234")));
    host.power_off();
    left.insert(host.read_file("/var/file").value_or("none"));
  }
  const std::string gap(2, '\0');
  EXPECT_THAT(left, IsSupersetOf({std::string("kept"), std::string("kept12"), std::string("kept1234"),
                                  std::string("kept1"), "kept" + gap + "34", "kept" + gap + "3"}))
      << "any choice of what was not synced, perhaps in part";
  EXPECT_THAT(left, Each(StartsWith("kept")));
}

TEST(SimulatedFilesTest, AreCalledAsTheirDirectoryWasSynced) {
  std::set<std::string> left;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Simulation world({.seed = seed});
    Host& host = world.add_host("host");
    host.write_file("/var/file", "old");
    as_process(host, [](Io& io) {
      const Descriptor file = open_file(io, "/var/file.new", O_WRONLY | O_CREAT);
      write_all(io, file.get(), "new");
      check(io.sync(file.get()), "sync");
      check(io.rename("/var/file.new", "/var/file"), "rename");
    });
    EXPECT_THAT(host.read_file("/var/file"), Optional(std::string("new")));
    host.power_off();
    left.insert(host.read_file("/var/file").value_or("none") + " " + host.read_file("/var/file.new").value_or("none"));
  }
  EXPECT_THAT(left, ElementsAre("new none", "old new", "old none"));
}

// Goal: a sync that succeeds says nothing of what was written before one that failed: the kernel has forgotten it.
TEST(SimulatedFilesTest, LoseForGoodWhatASyncThatFailsWasToKeep) {
  std::set<std::string> left;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Simulation world({.seed = seed});
    Host& host = world.add_host("host");
    host.write_file("/var/file", "");
    as_process(host, [&](Io& io) {
      const Descriptor file = open_file(io, "/var/file", O_WRONLY);
      write_all(io, file.get(), "1");
      world.set_faults({.sync = 1});
      EXPECT_LT(io.sync(file.get()), 0);
      world.set_faults(Faults::none());
      EXPECT_EQ(io.sync(file.get()), 0);
    });
    host.power_off();
    left.insert(host.read_file("/var/file").value_or("none"));
  }
  EXPECT_THAT(left, ElementsAre("", "1"));
}

// --- a journal, as a daemon keeps it ---

/// What it does not know, or forgets.
enum class Careless { Nothing, Sync, FailedSync, Directory };

/// Counts, and keeps the count: each number is a line at the end of a file, and `told` when it is there to stay. When
/// anything fails it ends; whoever starts writes anew what he finds, for nobody knows how much of it is on the disk.
class Journal {
 public:
  Journal(Process& process, std::uint64_t& told, Careless careless)
      : loop_(process.loop()),
        io_(process.io()),
        told_(told),
        careless_(careless),
        quit_(loop_, {SIGTERM}, [this](int) { loop_.stop(); }),
        scheduler_(loop_) {
    const std::string found = find();
    file_ = open_file(io_, kNewPath, O_WRONLY | O_CREAT | O_TRUNC);
    write_all(io_, file_.get(), found);
    check(io_.sync(file_.get()), "sync");
    check(io_.rename(kNewPath, kPath), "rename");
    if (careless_ != Careless::Directory) sync_directory(io_, kDirectory);
    count();
  }
  std::uint64_t last() const noexcept { return last_; }

 private:
  static constexpr const char* kDirectory = "/var/journal";
  static constexpr const char* kPath = "/var/journal/numbers";
  static constexpr const char* kNewPath = "/var/journal/numbers.new";

  static std::string line(std::uint64_t number) { return std::to_string(number) + " counted\n"; }

  /// As many lines as are whole and in order.
  std::string find() {
    const int fd = io_.open(kPath, O_RDONLY);
    if (fd == -ENOENT) return {};
    check(fd, kPath);
    const Descriptor file(io_, fd);
    const std::string text = read_all(io_, fd);
    std::size_t whole = 0;
    for (; text.compare(whole, line(last_ + 1).size(), line(last_ + 1)) == 0; ++last_) whole += line(last_ + 1).size();
    return text.substr(0, whole);
  }
  void count() {
    scheduler_.after(1ms, [this] {
      try {
        write_all(io_, file_.get(), line(last_ + 1));
        keep();
      } catch (const std::system_error& failure) {
        throw AbortError(failure.what());
      }
      told_ = ++last_;
      count();
    });
  }
  void keep() {
    if (careless_ == Careless::Sync) return;
    const int result = io_.sync(file_.get());
    if (careless_ == Careless::FailedSync && result < 0) return check(io_.sync(file_.get()), "sync again");
    check(result, "sync");
  }

  LoopManager& loop_;
  Io& io_;
  std::uint64_t& told_;
  Careless careless_;
  SignalSource quit_;
  SchedulerSource scheduler_;
  Descriptor file_;
  std::uint64_t last_ = 0;
};

std::uint64_t keep_counting(std::uint64_t seed, Careless careless) {
  Simulation world({.seed = seed, .faults = Faults::rough()});
  Host& host = world.add_host("host");
  std::uint64_t told = 0;
  for (int blow = 0; blow < 10; ++blow) {
    Process* journal = nullptr;
    do {
      journal =
          &host.start("journal", [&](Process& process) { return std::make_shared<Journal>(process, told, careless); });
    } while (!journal->running());
    const std::uint64_t found = journal->program<Journal>().last();
    require(found >= told,
            std::to_string(told) + " was told and " + std::to_string(found) + " is there\n" + world.description());
    world.run_for(world.random().between(1ms, 100ms));
    if (world.random().below(3) != 0) {
      host.power_off();
    } else {
      journal->kill();
    }
  }
  require(told > 0, "nothing was counted\n" + world.description());
  return world.trace_hash();
}

TEST(JournalTest, KeepsWhatItSaidItKeeps) {
  const auto result = run_seeds(100, 20, [](std::uint64_t seed) { return keep_counting(seed, Careless::Nothing); });
  EXPECT_TRUE(result) << result.message;
}

TEST(JournalTest, IsFoundOutIfItIsCareless) {
  for (const Careless careless : {Careless::Sync, Careless::FailedSync, Careless::Directory}) {
    const auto result = run_seeds(200, 0, [&](std::uint64_t seed) { return keep_counting(seed, careless); });
    EXPECT_FALSE(result) << static_cast<int>(careless);
    EXPECT_THAT(result.message, testing::HasSubstr("was told and"));
  }
}

}  // namespace
}  // namespace snowfox::simulation
