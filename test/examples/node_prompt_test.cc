#include <gtest/gtest.h>

#include "client/prompt.h"

namespace snowfox::node {
namespace {

TEST(BegunServiceIdTest, IsWhatIsInTheQuotesOfACall) {
  for (const std::string line :
       {"service.start('we", "service.start(\"we", "service.start 'we", "x = service.watch( 'we",
        "print('a') service.status(\"we", "print('\\'') service.stop('we"}) {
    const BegunId begun = begun_service_id(line);
    EXPECT_TRUE(begun.begun) << line;
    EXPECT_EQ(begun.id, "we") << line;
  }
  EXPECT_TRUE(begun_service_id("service.start('").begun);
}

TEST(BegunServiceIdTest, IsNowhereElse) {
  for (const std::string line : {"", "service.start(", "service.start(we", "service.start('web'", "print('we", "'",
                                 "service.start('web', 'x", "service.started('we"}) {
    EXPECT_FALSE(begun_service_id(line).begun) << line;
  }
}

}  // namespace
}  // namespace snowfox::node
