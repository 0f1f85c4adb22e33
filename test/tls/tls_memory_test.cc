// What a connection that is idle holds, and what one costs that comes and goes.
#include <malloc.h>

#include <array>
#include <cstdio>

#include "support/sanitized.h"
#include "tls_fixture.h"

namespace snowfox {
namespace {

class TlsMemoryTest : public TlsTest {
 protected:
  static std::size_t in_use() { return mallinfo2().uordblks; }
};

// Goal: an idle connection holds what OpenSSL needs for it and little else; docs/tls.md has the figure. Both ends are
// ours, so one connection of this test is two.
TEST_F(TlsMemoryTest, HoldsWhatOpensslNeedsForAnIdleConnection) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's memory is its own";
  constexpr std::size_t kCount = 100;
  std::array<std::array<TlsEnd, 2>, kCount + 10> ends;
  for (std::size_t i = kCount; i < ends.size(); ++i) connect(ends[i][0], ends[i][1]);
  const std::size_t before = in_use();
  for (std::size_t i = 0; i < kCount; ++i) connect(ends[i][0], ends[i][1]);
  const std::size_t idle = (in_use() - before) / (2 * kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    drain(ends[i][0]).enqueue(std::string(100'000, 'x'));
    loop_.turn();
    ASSERT_EQ(ends[i][1].received.size(), 100'000U);
    std::string().swap(ends[i][1].received);
  }
  const std::size_t used = (in_use() - before) / (2 * kCount);
  std::printf("an idle connection holds %zu bytes, one that was used %zu\n", idle, used);
  RecordProperty("idle_bytes", static_cast<int>(idle));
  EXPECT_LT(idle, 40U << 10);
  EXPECT_LT(used, idle + (4U << 10)) << "OpenSSL's buffers are given back";
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
}

// Goal: nothing is left of those that are over, whether they came about or not.
TEST_F(TlsMemoryTest, LeavesNothingBehind) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's memory is its own";
  const auto come_and_go = [&] {
    TlsEnd ours;
    TlsEnd theirs;
    connect(ours, theirs);
    source(ours).close(make_error_code(TlsErrc::Truncated));
    loop_.turn();
    TlsEnd refused[2];
    connect(refused[0], refused[1], "other.example");
    loop_.pass(std::chrono::minutes(1));
    loop_.sink.lines.clear();
  };
  // The allocator, too, keeps some of what is given back to it.
  for (int i = 0; i < 300; ++i) come_and_go();
  const std::size_t before = in_use();
  for (int i = 0; i < 300; ++i) come_and_go();
  EXPECT_LT(in_use(), before + 30'000) << "100 bytes each would be a leak";
  EXPECT_EQ(server().counters().connections, 0U);
}

}  // namespace
}  // namespace snowfox
