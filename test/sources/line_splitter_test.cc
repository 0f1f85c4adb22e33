#include <snowfox/sources/line_splitter.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace snowfox {
namespace {

using testing::ElementsAre;

/// The lines of `text`, given in pieces of `piece_bytes`; those that were cut end in "...".
std::vector<std::string> lines_of(std::string_view text, std::size_t limit, std::size_t piece_bytes) {
  LineSplitter splitter(limit);
  std::vector<std::string> lines;
  const auto add = [&](const TextLine& line) { lines.push_back(line.text + (line.cut ? "..." : "")); };
  for (; !text.empty(); text.remove_prefix(std::min(piece_bytes, text.size()))) {
    splitter.append(std::as_bytes(std::span(text.substr(0, piece_bytes))));
    while (auto line = splitter.next()) add(*line);
  }
  if (auto line = splitter.rest()) add(*line);
  EXPECT_FALSE(splitter.rest());
  return lines;
}

class LineSplitterTest : public testing::TestWithParam<std::size_t> {};

TEST_P(LineSplitterTest, FindsEachLine) {
  EXPECT_THAT(lines_of("a\nbc\n\nd\n", 10, GetParam()), ElementsAre("a", "bc", "", "d"));
}

TEST_P(LineSplitterTest, CountsTheLastLineWithoutANewline) {
  EXPECT_THAT(lines_of("a\nb", 10, GetParam()), ElementsAre("a", "b"));
}

TEST_P(LineSplitterTest, FindsNothingInNothing) { EXPECT_THAT(lines_of("", 10, GetParam()), ElementsAre()); }

TEST_P(LineSplitterTest, CutsALineThatIsTooLong) {
  EXPECT_THAT(lines_of("abcd\nabcde\nx\n", 4, GetParam()), ElementsAre("abcd", "abcd...", "x"));
  EXPECT_THAT(lines_of("abcdefghijklmnop", 4, GetParam()), ElementsAre("abcd..."));
  EXPECT_THAT(lines_of("abcdefghijklmnop\n\nabcdefgh\nx", 4, GetParam()), ElementsAre("abcd...", "", "abcd...", "x"));
}

INSTANTIATE_TEST_SUITE_P(PieceBytes, LineSplitterTest, testing::Values(1, 2, 3, 5, 100));

}  // namespace
}  // namespace snowfox
