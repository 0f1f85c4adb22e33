#include <snowfox/http/monitoring.h>

#include <limits>
#include <stdexcept>

#include "http_fixture.h"

namespace snowfox {
namespace {

using testing::HasSubstr;

TEST(MetricsTest, TellsNumbersAsPrometheusReadsThem) {
  Metrics metrics;
  metrics.counter("fox_requests_total", "Requests.", {{"path", "a\"b\\c\nd"}, {"code", "200"}}).add(3);
  metrics.counter("fox_requests_total", "Requests.").add();
  metrics.gauge("fox_temperature", "In\nthe \\ den.").set(-1.5);
  metrics.gauge_from("fox_asleep", "Whether.", [] { return 1; });
  auto& took = metrics.histogram("fox_seconds", "Time.", {0.1, 1}, {{"den", "1"}});
  for (const double value : {0.05, 0.1, 0.5, 7.0}) took.observe(value);
  EXPECT_EQ(metrics.text(),
            "# HELP fox_asleep Whether.\n# TYPE fox_asleep gauge\nfox_asleep 1\n"
            "# HELP fox_requests_total Requests.\n# TYPE fox_requests_total counter\n"
            "fox_requests_total{path=\"a\\\"b\\\\c\\nd\",code=\"200\"} 3\nfox_requests_total 1\n"
            "# HELP fox_seconds Time.\n# TYPE fox_seconds histogram\n"
            "fox_seconds_bucket{den=\"1\",le=\"0.1\"} 2\nfox_seconds_bucket{den=\"1\",le=\"1\"} 3\n"
            "fox_seconds_bucket{den=\"1\",le=\"+Inf\"} 4\nfox_seconds_sum{den=\"1\"} 7.65\n"
            "fox_seconds_count{den=\"1\"} 4\n"
            "# HELP fox_temperature In\\nthe \\\\ den.\n# TYPE fox_temperature gauge\nfox_temperature -1.5\n");
}

TEST(MetricsTest, GivesTheSameNumberForTheSameNameAndLabels) {
  Metrics metrics;
  EXPECT_EQ(&metrics.counter("a", "", {{"x", "1"}}), &metrics.counter("a", "", {{"x", "1"}}));
  EXPECT_NE(&metrics.counter("a", "", {{"x", "1"}}), &metrics.counter("a", "", {{"x", "2"}}));
  EXPECT_THROW(metrics.gauge("a", ""), std::invalid_argument);
  EXPECT_THROW(metrics.counter("1a", ""), std::invalid_argument);
  EXPECT_THROW(metrics.counter("a b", ""), std::invalid_argument);
  EXPECT_THROW(metrics.counter("a", "", {{"x:y", "1"}}), std::invalid_argument);
  EXPECT_THROW(metrics.histogram("h", "", {2, 1}), std::invalid_argument);
}

// Goal: what is gone is not told for ever.
TEST(MetricsTest, CollectsNumbersThatComeAndGo) {
  Metrics metrics;
  std::vector<std::string> foxes{"red", "\"arctic\""};
  metrics.gauges_from("fox_asleep", "Whether.", [&](Metrics::Samples& samples) {
    for (const std::string& fox : foxes) samples.add(fox.size() == 3 ? 1 : 0, {{"fox", fox}});
  });
  metrics.counters_from("fox_meals", "Eaten.", [](Metrics::Samples& samples) { samples.add(7); });
  const std::string meals = "# HELP fox_meals Eaten.\n# TYPE fox_meals counter\nfox_meals 7\n";
  const std::string asleep = "# HELP fox_asleep Whether.\n# TYPE fox_asleep gauge\n";
  EXPECT_EQ(metrics.text(), asleep + "fox_asleep{fox=\"red\"} 1\nfox_asleep{fox=\"\\\"arctic\\\"\"} 0\n" + meals);
  foxes = {"grey"};
  EXPECT_EQ(metrics.text(), asleep + "fox_asleep{fox=\"grey\"} 0\n" + meals);

  EXPECT_THROW(metrics.gauge("fox_asleep", "Whether."), std::invalid_argument);
  EXPECT_THROW(metrics.gauges_from("fox_asleep", "Whether.", [](Metrics::Samples&) {}), std::invalid_argument);
  EXPECT_THROW(metrics.gauges_from("1fox", "", [](Metrics::Samples&) {}), std::invalid_argument);
}

class MonitoringTest : public testing::Test {
 protected:
  std::string asked(const std::string& path) {
    const Descriptor client = connect_to(monitoring_.local_address());
    send_some(client.get(), "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    std::string answer;
    loop_.hold();  // it does not go on for the listener's sake
    for (int i = 0; i < 20'000 && !at_end(client.get()); ++i) {
      loop_.run_for(std::chrono::milliseconds(1));
      answer += receive_some(client.get());
    }
    loop_.release();
    return answer;
  }

  LoopManager loop_;
  Monitoring monitoring_{loop_, Address::parse("127.0.0.1:0")};
};

TEST_F(MonitoringTest, TellsOfTheLoopAndTheProcess) {
  const std::string answer = asked("/metrics");
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  for (const char* name : {"snowfox_loop_events_total", "process_resident_memory_bytes", "process_open_fds",
                           "process_cpu_seconds_total"}) {
    EXPECT_THAT(answer, HasSubstr("\n# TYPE " + std::string(name)));
  }
}

TEST_F(MonitoringTest, SaysWhetherItIsReady) {
  bool open = false;
  monitoring_.ready_when("the \"store\"", [&] { return open; });
  EXPECT_THAT(asked("/live"), HasSubstr("HTTP/1.1 200 OK"));
  const std::string answer = asked("/ready");
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 503 Service Unavailable"));
  EXPECT_THAT(answer, HasSubstr(R"({"ready":false,"not_ready":["the \"store\""]})"));
  open = true;
  EXPECT_THAT(asked("/ready"), HasSubstr(R"({"ready":true})"));
}

TEST_F(MonitoringTest, WatchesAServer) {
  HttpProtocol protocol;
  monitoring_.watch(protocol, "public");
  EXPECT_THAT(asked("/metrics"), HasSubstr("snowfox_http_answers_total{server=\"public\",status=\"2xx\"} 0\n"));
  EXPECT_THAT(asked("/ready"), HasSubstr("200 OK"));
  protocol.finish();
  EXPECT_THAT(asked("/ready"), HasSubstr("public is shutting down"));
}

TEST_F(MonitoringTest, KeepsNoLoopGoing) { EXPECT_EQ(loop_.run(), 0); }

}  // namespace
}  // namespace snowfox
