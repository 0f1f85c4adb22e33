// What becomes of the daemon when its store fails: nothing that was acknowledged is lost, and it goes on by itself.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "examples/appservice/daemon_world.h"
#include "load/process_usage.h"
#include "support/sanitized.h"

#ifdef SNOWFOX_APPSERVICE_POSTGRES
#include "postgres/cluster.h"
#endif

namespace snowfox::appservice {
namespace {

class DaemonTroubleTest : public DaemonTest {
 protected:
  /// Submits the next event once. True if it was acknowledged.
  bool submit_next(std::size_t padding = 0) {
    Json next = event("$" + std::to_string(next_));
    next["content"]["body"] = std::string(padding, 'x');
    const HttpClientResponse response = submit(next);
    last_ = response;
    if (response.status != 200) return false;
    acknowledged_.push_back(next.at("event_id"));
    ++next_;
    return true;
  }
  void expect_all_delivered() {
    until([&] { return service.events().size() >= acknowledged_.size(); }, 60s);
    EXPECT_EQ(service.events(), acknowledged_);
  }

  int next_ = 1;
  HttpClientResponse last_;
  std::vector<std::string> acknowledged_;
};

/// A disk that is soon full.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& path) : path_(path) {
    std::filesystem::create_directory(path);
    mounted_ = ::mount("none", path.c_str(), "tmpfs", 0, "size=2m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const noexcept { return mounted_; }
  void grow() const { EXPECT_EQ(::mount("none", path_.c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0); }

 private:
  std::string path_;
  bool mounted_ = false;
};

TEST_F(DaemonTroubleTest, GoesOnWhenThereIsRoomAgainOnAFullDisk) {
  const SmallDisk disk(directory / "small");
  if (!disk.mounted()) GTEST_SKIP() << "only root may mount a small disk";
  store = "sqlite:small/store.db";
  service.answer = [](HttpEvent& event, const HttpService::Request&) { event.answer({.status = 500}); };
  start_with_service("first_retry: 100ms, longest_retry: 200ms");
  int refused = 0;
  for (int i = 0; i < 400 && refused < 3; ++i) refused += submit_next(20'000) ? 0 : 1;
  EXPECT_EQ(refused, 3) << "it was never full";
  EXPECT_EQ(last_.status, 503);
  EXPECT_TRUE(last_.headers.contains("Retry-After"));
  EXPECT_EQ(ask("GET", admin + "/ready").status, 503);
  EXPECT_EQ(ask("GET", admin + "/live").status, 200);
  disk.grow();
  until([&] { return submit_next(); });
  EXPECT_EQ(ask("GET", admin + "/ready").status, 200);
  service.answer = [](HttpEvent& event, const HttpService::Request&) { HttpService::ok(event); };
  expect_all_delivered();
  EXPECT_EQ(end(), 0);
}

// Goal: an acknowledgement is not before its commit, which another process holds up here, and the daemon is killed.
TEST_F(DaemonTroubleTest, AcknowledgesNothingThatItWouldLoseIfItWereKilled) {
  start_with_service();
  ASSERT_TRUE(submit_next());
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open((directory / "store.db").c_str(), &other), SQLITE_OK);
  sqlite3_busy_timeout(other, 10'000);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  Promise<HttpClientResponse> answer = send("POST", api + std::string(kSubmit), event("$lost").dump(), kSubmitToken);
  until([&] { return metric("snowfox_appservice_store_backlog_bytes") > 0; });
  EXPECT_EQ(end(SIGKILL), 128 + SIGKILL);
  sqlite3_close(other);
  until([&] { return answer.settled(); });
  EXPECT_TRUE(answer.state()->rejected() || answer.state()->value().status != 200);
  start();
  ASSERT_TRUE(submit_next());
  expect_all_delivered();
}

// Goal: what waits for a service that is down is in the store, not in memory.
TEST_F(DaemonTroubleTest, HoldsNoMoreInMemoryTheMoreWaitsForAServiceThatIsDown) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer keeps what was freed";
  constexpr int kEventBytes = 2000;
  constexpr int kEventsAtATime = 200;
  int next = 1;
  const auto submit_events = [&](int events) {
    for (const int end = next + events; next < end;) {
      Json list = Json::array();
      for (int i = 0; i < kEventsAtATime; ++i, ++next) {
        list.push_back(event("$" + std::to_string(next)));
        list.back()["content"]["body"] = std::string(kEventBytes, 'x');
      }
      ASSERT_EQ(submit(list).status, 200);
    }
  };
  const auto memory = [&] { return status_bytes(program->process(), "RssAnon"); };
  service.answer = [](HttpEvent& event, const HttpService::Request&) { event.answer({.status = 500}); };
  start_with_service("first_retry: 1h, longest_retry: 1h");

  // Caches fill, and buffers get the size that they have from then on.
  submit_events(4000);
  const std::size_t before = memory();
  ASSERT_GT(before, 0);
  const std::size_t most = before + std::size_t{20'000} * kEventBytes / 8;
  submit_events(20'000);
  EXPECT_EQ(metric(R"(snowfox_appservice_backlog_events{service="a"})"), 24'000);
  EXPECT_LT(memory(), most) << "before: " << before;

  // Nor while all of that is sent.
  int expected = 1;
  service.answer = [&](HttpEvent& event, const HttpService::Request& request) {
    if (request.method == "PUT") {
      const Json content = Json::parse(request.body);
      for (const Json& one : content.at("events")) {
        EXPECT_EQ(one.at("event_id"), "$" + std::to_string(expected));
        ++expected;
      }
    }
    service.requests.clear();
    HttpService::ok(event);
  };
  ping();
  until([&] { return expected > 24'000; }, 120s);
  EXPECT_LT(memory(), most) << "before: " << before;
  EXPECT_EQ(end(), 0);
}

#ifdef SNOWFOX_APPSERVICE_POSTGRES
TEST_F(DaemonTroubleTest, GoesOnWhenItsServerIsThereAgain) {
  if (!PostgresCluster::installed()) GTEST_SKIP() << "no PostgreSQL here";
  PostgresCluster& cluster = PostgresCluster::shared();
  store = "'postgres:" + cluster.uri() + "'";
  start_with_service("first_retry: 100ms, longest_retry: 200ms");
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(submit_next());
  cluster.tell("crash");
  int refused = 0;
  until([&] { return (refused += submit_next() ? 0 : 1) >= 3; });
  cluster.wait();
  EXPECT_EQ(last_.status, 503);
  EXPECT_TRUE(last_.headers.contains("Retry-After"));
  EXPECT_EQ(ask("GET", admin + "/ready").status, 503);
  cluster.tell("start");
  until([&] { return submit_next(); }, 60s);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(submit_next());
  expect_all_delivered();
  EXPECT_EQ(end(), 0);
}

// As another scheduler would have changed it that had the store meanwhile.
TEST_F(DaemonTroubleTest, RemembersNothingOfAStoreThatWasAway) {
  if (!PostgresCluster::installed()) GTEST_SKIP() << "no PostgreSQL here";
  PostgresCluster& cluster = PostgresCluster::shared();
  store = "'postgres:" + cluster.uri() + "'";
  start_with_service("first_retry: 100ms, longest_retry: 200ms");
  const std::size_t before = service.events().size();
  // Of nobody's interest; but now it is in memory who is in the room.
  EXPECT_EQ(submit(event("$ignored", "@nobody:example.org")).status, 200);
  const std::string room = event("$x").at("room_id");
  cluster.execute("INSERT INTO room_members VALUES ('" + room + "', '@a_member:example.org')");
  cluster.execute(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL");
  until([&] { return program->errors().find("what is known of it is read again") != std::string::npos; });
  until([&] { return submit(event("$after", "@nobody:example.org")).status == 200; });
  until([&] { return service.events().size() > before; });
  EXPECT_EQ(service.events().back(), "$after");
  EXPECT_EQ(end(), 0);
}
#endif

}  // namespace
}  // namespace snowfox::appservice
