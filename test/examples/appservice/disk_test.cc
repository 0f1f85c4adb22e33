// What becomes of submissions and deliveries while nothing can be written to the disk: SQLite's files, which root may
// always write to, are on one that refuses.
#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <snowfox/http/http_source.h>
#include <snowfox/http_client/scripted_http_requester.h>

#include "appservice/api.h"
#include "appservice/sqlite_store.h"
#include "sqlite/faulty_disk.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox::appservice {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

/// All of the daemon but its configuration and its listeners.
struct Parts {
  Parts(const std::string& path, std::shared_ptr<const Registrations> registrations,
        const std::function<ScriptedHttpAnswer(const HttpClientRequest&)>& service)
      : store(loop, path, 1000),
        requester(loop, service),
        client(loop, requester, {}),
        scheduler(loop, store, client, {.limits = {}, .first_retry = 20ms, .longest_retry = 20ms}),
        rooms(loop, store, std::make_shared<const Interest>(registrations)),
        intake(loop, scheduler, rooms),
        api(loop, protocol, intake, scheduler, client, rooms) {
    begun = store.services().then([this, registrations](std::vector<ServiceRecord> known) {
      scheduler.start(registrations, std::move(known));
      intake.begin();
    });
  }

  LoopManager loop;
  SqliteStore store;
  ScriptedHttpRequester requester;
  ServiceClient client;
  Scheduler scheduler;
  Rooms rooms;
  Intake intake;
  HttpProtocol protocol;
  Api api;
  Promise<void> begun;
};

class DiskTest : public testing::TestWithParam<int> {
 protected:
  void start() {
    daemon_ = std::make_unique<Parts>(directory_ / "store.db", one_service(),
                                      [this](const HttpClientRequest& request) { return take(request); });
    until([&] { return daemon_->begun.settled(); });
  }
  static void refuse_writes() { FaultyDisk::write_error = GetParam(); }
  static void take_writes() { FaultyDisk::write_error = 0; }

  /// The answer to it, head and body.
  std::string submit(const std::string& event_id) {
    auto ends = make_socket_pair();
    const Descriptor& theirs = ends.second;
    serve_http(daemon_->loop, Channel::make(daemon_->loop, std::move(ends.first)), daemon_->protocol);
    const std::string body = nlohmann::json{{"event_id", event_id},
                                            {"room_id", "!r:x"},
                                            {"sender", "@a_1:x"},
                                            {"type", "m.room.message"},
                                            {"content", nlohmann::json::object()}}
                                 .dump();
    send_some(theirs.get(),
              "POST /_snowfox/appservice/v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
              "Content-Length: " +
                  std::to_string(body.size()) + "\r\n\r\n" + body);
    std::string text;
    until([&] {
      text += receive_some(theirs.get());
      return at_end(theirs.get());
    });
    return text;
  }
  /// What comes about without an event is looked for again and again.
  void until(const std::function<bool()>& condition) {
    constexpr int kMostLooks = 20'000;
    for (int i = 0; i < kMostLooks && !condition(); ++i) {
      if (EventRef event = daemon_->loop.wait(5ms)) daemon_->loop.dispatch(std::move(event));
    }
    ASSERT_TRUE(condition());
  }
  DeliveryStatus status() { return daemon_->scheduler.find("a")->status(); }
  bool at_rest() { return status().up && status().backlog == 0 && status().doing == "idle"; }

  /// The service.
  ScriptedHttpAnswer take(const HttpClientRequest& request) {
    HttpClientResponse response;
    response.status = well_ ? 200 : 500;
    response.body = "{}";
    const std::string body(request.body.bytes());
    if (well_) {
      const nlohmann::json content = nlohmann::json::parse(body);
      for (const auto& event : content.at("events")) taken_.push_back(event.at("event_id"));
    }
    return {.response = std::move(response), .after = 1ms};
  }
  static std::shared_ptr<const Registrations> one_service() {
    Registration a;
    a.id = "a";
    a.url = "http://a";
    a.users.push_back({.exclusive = true, .pattern = Pattern("@a_.*")});
    std::vector<Registration> all;
    all.push_back(std::move(a));
    return std::make_shared<const Registrations>(std::move(all));
  }

  const FaultyDisk disk_;
  const TemporaryDirectory directory_;
  bool well_ = true;
  std::vector<std::string> taken_;  // of what came while it was well, again if it came again
  std::unique_ptr<Parts> daemon_;
};

TEST_P(DiskTest, TakesNothingInThatItCannotWriteAndGoesOnByItself) {
  start();
  well_ = false;
  EXPECT_THAT(submit("$1"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(submit("$2"), StartsWith("HTTP/1.1 200 "));
  until([&] { return !status().up; });

  refuse_writes();
  for (int i = 0; i < 3; ++i) {
    const std::string refused = submit("$3");
    EXPECT_THAT(refused, StartsWith("HTTP/1.1 503 "));
    EXPECT_THAT(refused, HasSubstr("\r\nRetry-After: "));
    EXPECT_THAT(refused, HasSubstr("M_UNKNOWN"));
  }
  EXPECT_THAT(daemon_->store.trouble(), Not(IsEmpty()));
  // The service gets what is on its way, once: what it has acknowledged is not sent again because that could not be
  // written down.
  well_ = true;
  until([&] { return status().sent_transactions == 1; });
  EXPECT_THAT(submit("$3"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(taken_, ElementsAre("$1"));
  EXPECT_EQ(status().doing, "storing");

  // Nobody submits anything or asks for anything.
  take_writes();
  until([&] { return at_rest(); });
  EXPECT_THAT(taken_, ElementsAre("$1", "$2"));
  EXPECT_EQ(daemon_->store.trouble(), "");

  EXPECT_THAT(submit("$3"), StartsWith("HTTP/1.1 200 "));
  until([&] { return at_rest(); });
  EXPECT_THAT(taken_, ElementsAre("$1", "$2", "$3"));
}

TEST_P(DiskTest, IsInTroubleUntilItCanWriteAgain) {
  start();
  refuse_writes();
  EXPECT_THAT(submit("$1"), StartsWith("HTTP/1.1 503 "));
  // It counts what waits for the service, which is nothing, and has nothing to write.
  until([&] { return daemon_->store.database().status().failed_commits >= 3; });
  EXPECT_THAT(daemon_->store.trouble(), Not(IsEmpty()));
  take_writes();
  until([&] { return daemon_->store.trouble().empty(); });
  EXPECT_THAT(submit("$1"), StartsWith("HTTP/1.1 200 "));
  until([&] { return at_rest(); });
  EXPECT_THAT(taken_, ElementsAre("$1"));
}

TEST_P(DiskTest, GoesOnWithAServiceForWhichNothingCouldBeStored) {
  start();
  EXPECT_THAT(submit("$1"), StartsWith("HTTP/1.1 200 "));
  until([&] { return at_rest(); });
  refuse_writes();
  EXPECT_THAT(submit("$2"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(submit("$2"), StartsWith("HTTP/1.1 503 "));
  take_writes();
  until([&] { return at_rest(); });
  EXPECT_EQ(daemon_->store.trouble(), "");
  EXPECT_THAT(taken_, ElementsAre("$1"));  // what was refused was not stored
  EXPECT_THAT(submit("$2"), StartsWith("HTTP/1.1 200 "));
  until([&] { return at_rest(); });
  EXPECT_THAT(taken_, ElementsAre("$1", "$2"));
}

TEST_P(DiskTest, KeepsWhatItHasAcknowledgedThoughItEndsMeanwhile) {
  start();
  well_ = false;
  for (const char* id : {"$1", "$2", "$3"}) EXPECT_THAT(submit(id), StartsWith("HTTP/1.1 200 "));
  refuse_writes();
  EXPECT_THAT(submit("$4"), StartsWith("HTTP/1.1 503 "));
  daemon_.reset();
  take_writes();
  well_ = true;
  start();
  until([&] { return at_rest(); });
  EXPECT_THAT(taken_, ElementsAre("$1", "$2", "$3"));
}

// A file system that has become read-only is told of by SQLite in either way.
INSTANTIATE_TEST_SUITE_P(All, DiskTest, testing::Values(SQLITE_READONLY, SQLITE_IOERR_WRITE),
                         [](const auto& each) { return each.param == SQLITE_READONLY ? "read_only" : "failing"; });

}  // namespace
}  // namespace snowfox::appservice
