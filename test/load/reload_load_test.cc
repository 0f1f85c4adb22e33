#include <array>
#include <chrono>
#include <csignal>
#include <exception>
#include <optional>
#include <string>

#include <fmt/format.h>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/manual_source.h>
#include <snowfox/sources/scheduler_source.h>

#include "examples/node_fixture.h"
#include "load/node_load.h"
#include "load/process_usage.h"
#include "support/run_until.h"

namespace snowfox::node {
namespace {

using testing::HasSubstr;

class ReloadLoadTest : public NodeTest {
 protected:
  /// A good configuration: two addresses that are in all of them, and one that is in every other.
  void configure_well(int number) {
    name_ = "n" + std::to_string(number);
    configure("node: {name: " + name_ + "}\napi:\n  listen:\n  - tcp:127.0.0.1:0\n  - unix:" + path("stays.sock") +
              "\n" + (number % 2 == 0 ? "  - unix:" + path("sometimes.sock") + "\n" : ""));
  }
  /// One of those that are refused, at different depths: not read, not understood, and not put in force, though the
  /// first of its new addresses could be listened on.
  void configure_badly(int number) {
    const std::array<std::string, 4> bad{"node: [\n", "node: {nam: x}\n",
                                         "api:\n  listen:\n  - unix:" + path("never.sock") + "\n  - " +
                                             Io::system().local_address(taken_.get()).str() + "\n",
                                         "api:\n  listen: ['unix:/no/such/directory/x.sock']\n"};
    configure(bad.at(static_cast<std::size_t>(number) % bad.size()));
  }
  Address tcp_address() {
    const auto info = status();
    for (const std::string& text : info.details().api().listening()) {
      if (text.starts_with("tcp:")) return Address::parse(text);
    }
    throw std::runtime_error("no TCP address");
  }

  /// What comes of `promise`; nothing if it is rejected.
  template <typename T>
  std::optional<T> outcome(Promise<T> promise) {
    std::optional<T> value;
    bool settled = false;
    Promise<void> waiting = std::move(promise)
                                .then([&](T&& given) { value = std::move(given); })
                                .otherwise([](const std::exception_ptr&) {})
                                .finally([&] {
                                  settled = true;
                                  nudge_.post([] {});
                                });
    EXPECT_TRUE(run_until(
        loop_, [&] { return settled; }, kPatience));
    return value;
  }
  public_api::NodeInfoResponse node_info(LoadClient& client) {
    const auto info = outcome(client.status(true));
    EXPECT_TRUE(info.has_value());
    return info.value_or(public_api::NodeInfoResponse());
  }
  /// Of the manager, when it has no other client.
  std::size_t descriptors_when_alone(LoadClient& client) {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    while (node_info(client).details().api().clients() != 1 && std::chrono::steady_clock::now() < give_up) {
    }
    return descriptors_of(manager());
  }
  bool reload_by_request(LoadClient& client) {
    return outcome(client.reload().then([] { return true; })).value_or(false);
  }
  /// Whether the configuration was taken.
  bool reload_by_signal(LoadClient& client, int failed_before) {
    const auto reloads = [&] {
      const auto info = node_info(client);
      const auto& configuration = info.details().configuration();
      failed_ = static_cast<int>(configuration.failed_reloads());
      return static_cast<int>(configuration.reloads()) + failed_;
    };
    const int before = reloads();
    daemon_->kill(SIGHUP);
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    while (reloads() == before && std::chrono::steady_clock::now() < give_up) {
    }
    return failed_ == failed_before;
  }

  DescriptorLogSink sink_{STDERR_FILENO};
  Log log_{sink_, LogLevel::Warning};
  LoopManager loop_{std::make_unique<UvPoller>(), Io::system(), log_};
  // What is waited for is looked at after events, and a promise that is settled is none.
  ManualSource nudge_{loop_};
  SchedulerSource beat_{loop_, 5ms, [] { return make_event([] {}); }};
  Descriptor taken_ = Io::system().listen(Address::parse("tcp:127.0.0.1:0"), {});
  std::string name_;
  int failed_ = 0;
};

// Goal: a reload is all or nothing, and clients notice neither. A thousand of them, every third refused, while some
// clients stay connected and others come, ask and go, over listeners that stay and one that comes and goes.
TEST_F(ReloadLoadTest, LosesNoClientAndNoAnswerInAThousandReloads) {
  constexpr int kReloads = kSanitized ? 200 : 1000;
  constexpr int kWarmUp = kReloads / 5;
  configure_well(0);
  start();
  const pid_t manager_pid = manager();
  const Address tcp = tcp_address();
  const auto kept_unix = Address::unix_socket(path("stays.sock"));
  const auto sometimes = Address::unix_socket(path("sometimes.sock"));

  LoadFigures figures;  // of the client that asks for reloads
  std::optional<LoadClient> asking(std::in_place, loop_, figures);
  EXPECT_TRUE(outcome(asking->connect(socket()).then([] { return true; })));
  const std::size_t idle_descriptors = descriptors_when_alone(*asking);
  NodeLoad load(loop_);
  for (const Address& address : {tcp, kept_unix, socket(), sometimes}) {
    for (unsigned depth = 1; depth <= 3; ++depth) load.stay(address, depth, 1ms);
  }
  EXPECT_TRUE(run_until(loop_, [&] { return load.staying() == 12; }));
  for (int i = 0; i < 2; ++i) {
    for (const Address& address : {tcp, kept_unix, socket()}) load.come_and_go(address, NodeLoad::Listener::Stays, 1ms);
    load.come_and_go(sometimes, NodeLoad::Listener::ComesAndGoes, 1ms);
  }

  std::size_t warm_bytes = 0;
  int refused = 0;
  const auto began = std::chrono::steady_clock::now();
  for (int i = 1; i <= kReloads && !HasFailure(); ++i) {
    const bool bad = i % 3 == 0;
    bad ? configure_badly(i) : configure_well(i);
    const bool taken = i % 2 == 0 ? reload_by_request(*asking) : reload_by_signal(*asking, refused);
    refused += bad ? 1 : 0;
    EXPECT_EQ(taken, !bad) << "reload " << i << ": " << read_file(configuration());
    EXPECT_EQ(node_info(*asking).node_name(), name_) << "reload " << i;
    if (i == kWarmUp) warm_bytes = resident_bytes(manager_pid);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const std::size_t loaded_descriptors = descriptors_of(manager_pid);
  const std::size_t end_bytes = resident_bytes(manager_pid);

  EXPECT_EQ(load.staying(), 12);
  load.finish();
  EXPECT_TRUE(run_until(loop_, [&] { return load.done(); }));
  configure_well(kReloads % 2 == 0 ? kReloads + 2 : kReloads + 1);  // of the kind that it began with
  EXPECT_TRUE(reload_by_request(*asking));
  const auto info = node_info(*asking);
  EXPECT_EQ(info.details().configuration().reloads(), kReloads - refused + 1);
  EXPECT_EQ(info.details().configuration().failed_reloads(), refused);
  EXPECT_EQ(info.details().api().listening_size(), 4);
  EXPECT_FALSE(std::filesystem::exists(path("never.sock")));
  const std::size_t end_descriptors = descriptors_when_alone(*asking);
  asking.reset();

  const LoadFigures& told = load.figures();
  for (const std::string& error : told.errors) ADD_FAILURE() << error;
  EXPECT_EQ(told.refused, 0);
  EXPECT_EQ(told.lost, 0);
  EXPECT_EQ(told.wrong + figures.wrong, 0);
  EXPECT_EQ(told.answers, told.requests);
  EXPECT_EQ(figures.answers, figures.requests);
  EXPECT_GT(told.connections, 100);
  EXPECT_EQ(end_descriptors, idle_descriptors);
  // What is freed is quarantined by the address sanitizer.
  if (!kSanitized) {
    EXPECT_LT(end_bytes, warm_bytes + (4U << 20));
  }
  EXPECT_EQ(client({"--eval", "node.status()"}).exit_code, 0);
  fmt::print(
      "{} reloads, {} of them refused, in {:.1f} s: {:.0f}/s\n"
      "{} connections ({} more turned away by the listener that comes and goes), {} requests, {} answers\n"
      "descriptors of the manager: {} before, {} under load, {} after\n"
      "memory of the manager: {} KiB after {} reloads, {} KiB after {}\n",
      kReloads, refused, took.count(), kReloads / took.count(), told.connections, told.turned_away, told.requests,
      told.answers, idle_descriptors, loaded_descriptors, end_descriptors, warm_bytes / 1024, kWarmUp, end_bytes / 1024,
      kReloads);
  stop();
}

}  // namespace
}  // namespace snowfox::node
