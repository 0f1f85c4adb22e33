#include <snowfox/sources/file_watch_source.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <system_error>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>

#include "support/run_until.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

void write_file(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

class FileWatchSourceTest : public testing::Test {
 protected:
  /// What was told, each as `kind path`, with the path in the directory.
  std::vector<std::string> told() {
    loop_.run_for(Duration::zero());
    return std::exchange(told_, {});
  }
  void tell(const FileChange& change) {
    static constexpr const char* kKinds[] = {"created", "modified", "removed", "moved", "overflow"};
    std::string line = kKinds[static_cast<int>(change.kind)];
    if (!change.from.empty()) line += " " + short_name(change.from);
    if (!change.path.empty()) line += " " + short_name(change.path);
    if (change.is_directory) line += " (directory)";
    if (change.watch_ended) line += " (ended)";
    told_.push_back(line);
  }
  std::string short_name(const std::string& path) {
    return path.starts_with(directory_.path()) ? path.substr(directory_.path().size()) : path;
  }

  TemporaryDirectory directory_;
  LoopManager loop_;
  FileWatchSource source_{loop_, [this](const FileChange& change) { tell(change); }};
  std::vector<std::string> told_;
};

TEST_F(FileWatchSourceTest, TellsWhatHappensInADirectory) {
  source_.add(directory_.path());
  write_file(directory_ / "file", "text");
  EXPECT_THAT(told(), ElementsAre("created /file", "modified /file"));
  std::filesystem::rename(directory_ / "file", directory_ / "other");
  EXPECT_THAT(told(), ElementsAre("moved /file /other"));
  std::filesystem::remove(directory_ / "other");
  EXPECT_THAT(told(), ElementsAre("removed /other"));
  std::filesystem::create_directory(directory_ / "below");
  EXPECT_THAT(told(), ElementsAre("created /below (directory)"));
  write_file(directory_ / "below/file", "text");
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(FileWatchSourceTest, TellsOfAWriteOnlyWhenTheFileIsClosed) {
  write_file(directory_ / "file", "");
  source_.add(directory_ / "file");
  std::ofstream file(directory_ / "file");
  file << "half" << std::flush;
  EXPECT_THAT(told(), IsEmpty());
  file.close();
  EXPECT_THAT(told(), ElementsAre("modified /file"));
}

// Goal: an editor's way of saving, once and again.
TEST_F(FileWatchSourceTest, TellsOfAFileReplacedByRename) {
  write_file(directory_ / "file", "old");
  source_.add(directory_ / "file");
  for (int i = 0; i < 3; ++i) {
    write_file(directory_ / "file.tmp", "new");
    std::filesystem::rename(directory_ / "file.tmp", directory_ / "file");
    EXPECT_THAT(told(), ElementsAre("modified /file"));
  }
}

// Goal: another editor's way: the old file becomes the backup.
TEST_F(FileWatchSourceTest, TellsOfAFileMovedAwayAndMadeAgain) {
  write_file(directory_ / "file", "old");
  source_.add(directory_ / "file");
  std::filesystem::rename(directory_ / "file", directory_ / "file~");
  write_file(directory_ / "file", "new");
  EXPECT_THAT(told(), ElementsAre("removed /file", "created /file", "modified /file"));
  std::filesystem::remove(directory_ / "file");
  EXPECT_THAT(told(), ElementsAre("removed /file"));
  std::filesystem::rename(directory_ / "file~", directory_ / "file");
  EXPECT_THAT(told(), ElementsAre("created /file"));
}

TEST_F(FileWatchSourceTest, TellsNothingOfAFilesNeighbours) {
  write_file(directory_ / "file", "");
  source_.add(directory_ / "file");
  write_file(directory_ / "file2", "text");
  std::filesystem::rename(directory_ / "file2", directory_ / "file3");
  std::filesystem::remove(directory_ / "file3");
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(FileWatchSourceTest, WatchesSeveralPathsAtOnce) {
  write_file(directory_ / "a", "");
  write_file(directory_ / "b", "");
  std::filesystem::create_directory(directory_ / "below");
  source_.add(directory_ / "a");
  source_.add(directory_ / "b");
  source_.add(directory_ / "below");
  EXPECT_EQ(source_.size(), 3U);
  write_file(directory_ / "b", "text");
  write_file(directory_ / "below/c", "text");
  write_file(directory_ / "a", "text");
  EXPECT_THAT(told(), ElementsAre("modified /b", "created /below/c", "modified /below/c", "modified /a"));
}

TEST_F(FileWatchSourceTest, TellsOfAMoveBetweenWatchedDirectories) {
  std::filesystem::create_directory(directory_ / "from");
  std::filesystem::create_directory(directory_ / "to");
  std::filesystem::create_directory(directory_ / "elsewhere");
  write_file(directory_ / "from/file", "");
  source_.add(directory_ / "from");
  source_.add(directory_ / "to/");
  std::filesystem::rename(directory_ / "from/file", directory_ / "to/file");
  EXPECT_THAT(told(), ElementsAre("moved /from/file /to/file"));
  std::filesystem::rename(directory_ / "to/file", directory_ / "elsewhere/file");
  EXPECT_THAT(told(), ElementsAre("removed /to/file"));
  std::filesystem::rename(directory_ / "elsewhere/file", directory_ / "from/file");
  EXPECT_THAT(told(), ElementsAre("created /from/file"));
}

// Goal: one change, seen by the directory and by the file that was watched in it.
TEST_F(FileWatchSourceTest, WatchesADirectoryAndAFileInIt) {
  write_file(directory_ / "file", "");
  source_.add(directory_.path());
  source_.add(directory_ / "file");
  write_file(directory_ / "file.tmp", "text");
  told();
  std::filesystem::rename(directory_ / "file.tmp", directory_ / "file");
  EXPECT_THAT(told(), ElementsAre("moved /file.tmp /file", "modified /file"));
  EXPECT_TRUE(source_.remove(directory_ / "file"));
  write_file(directory_ / "file", "more");
  EXPECT_THAT(told(), ElementsAre("modified /file"));
}

TEST_F(FileWatchSourceTest, TellsNothingOfWhatItWatchesNoMore) {
  write_file(directory_ / "file", "");
  source_.add(directory_ / "file");
  source_.add(directory_ / "file");
  EXPECT_TRUE(source_.remove(directory_ / "file"));
  EXPECT_FALSE(source_.remove(directory_ / "file"));
  EXPECT_EQ(source_.size(), 0U);
  write_file(directory_ / "file", "text");
  EXPECT_THAT(told(), IsEmpty());
  source_.add(directory_ / "file");
  write_file(directory_ / "file", "text");
  EXPECT_THAT(told(), ElementsAre("modified /file"));
}

TEST_F(FileWatchSourceTest, SaysWhenTheDirectoryItWatchesIsGone) {
  std::filesystem::create_directory(directory_ / "below");
  write_file(directory_ / "below/file", "");
  source_.add(directory_ / "below");
  source_.add(directory_ / "below/file");
  std::filesystem::remove_all(directory_ / "below");
  EXPECT_THAT(told(), ElementsAre("removed /below/file", "removed /below/file", "removed /below (directory) (ended)",
                                  "removed /below/file (ended)"));
  EXPECT_EQ(source_.size(), 0U);
  std::filesystem::create_directory(directory_ / "below");
  source_.add(directory_ / "below");
  write_file(directory_ / "below/file", "");
  EXPECT_THAT(told(), ElementsAre("created /below/file", "modified /below/file"));
}

TEST_F(FileWatchSourceTest, SaysWhenTheDirectoryItWatchesIsMoved) {
  std::filesystem::create_directory(directory_ / "below");
  source_.add(directory_ / "below");
  std::filesystem::rename(directory_ / "below", directory_ / "other");
  EXPECT_THAT(told(), ElementsAre("removed /below (directory) (ended)"));
  write_file(directory_ / "other/file", "");
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(FileWatchSourceTest, WatchesASymbolicLinkAsItself) {
  write_file(directory_ / "one", "");
  write_file(directory_ / "two", "");
  std::filesystem::create_symlink("one", directory_ / "link");
  source_.add(directory_ / "link");
  std::filesystem::create_symlink("two", directory_ / "link.tmp");
  std::filesystem::rename(directory_ / "link.tmp", directory_ / "link");
  EXPECT_THAT(told(), ElementsAre("modified /link"));
}

TEST_F(FileWatchSourceTest, UnderstandsANameWithoutADirectory) {
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(directory_.path());
  write_file("file", "");
  source_.add("file");
  write_file("file", "text");
  EXPECT_THAT(told(), ElementsAre("modified file"));
  std::filesystem::current_path(before);
}

TEST_F(FileWatchSourceTest, NamesThePathThatIsNotThere) {
  try {
    source_.add(directory_ / "missing");
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_THAT(error.what(), HasSubstr("watch " + directory_ / "missing"));
  }
  EXPECT_EQ(source_.size(), 0U);
}

// Goal: more happens than the kernel keeps.
TEST_F(FileWatchSourceTest, SaysThatChangesWereLost) {
  std::ifstream limit_file("/proc/sys/fs/inotify/max_queued_events");
  long limit = 0;
  limit_file >> limit;
  if (limit <= 0 || limit > 100000) GTEST_SKIP() << "too many would be needed";
  write_file(directory_ / "a", "");
  source_.add(directory_.path());
  // Two names in turn: equal changes that follow each other would be joined.
  for (long i = 0; i <= limit; ++i) {
    std::filesystem::rename(directory_ / (i % 2 == 0 ? "a" : "b"), directory_ / (i % 2 == 0 ? "b" : "a"));
  }
  bool lost = false;
  run_until(loop_, [&] {
    lost = !told_.empty() && told_.back() == "overflow";
    return lost;
  });
  EXPECT_TRUE(lost);
  EXPECT_EQ(source_.size(), 1U) << "it watches on";
}

// Goal: what a handler throws reaches the loop's error policy.
TEST_F(FileWatchSourceTest, EndsTheLoopByCleanExit) {
  FileWatchSource source(loop_, [](const FileChange&) { throw CleanExit(); });
  source.add(directory_.path());
  write_file(directory_ / "file", "");
  EXPECT_EQ(loop_.run(), 0);
}

TEST_F(FileWatchSourceTest, MayBeDestroyedByItsHandler) {
  std::optional<FileWatchSource> source;
  int handled = 0;
  source.emplace(loop_, [&](const FileChange&) {
    source.reset();
    ++handled;
  });
  source->add(directory_.path());
  write_file(directory_ / "file", "text");
  loop_.run_for(Duration::zero());
  EXPECT_EQ(handled, 1);
}

TEST_F(FileWatchSourceTest, MayBeChangedByItsHandler) {
  std::optional<FileWatchSource> source;
  source.emplace(loop_, [&](const FileChange& change) {
    tell(change);
    source->remove(directory_.path());
  });
  source->add(directory_.path());
  write_file(directory_ / "a", "");
  told();
  write_file(directory_ / "b", "");
  EXPECT_THAT(told(), IsEmpty());
}

}  // namespace
}  // namespace snowfox
