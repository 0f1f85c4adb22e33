#include "soak/soak.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <snowfox/promises/sleep.h>

#include "common/child_process.h"
#include "load/process_usage.h"

namespace snowfox::soak {
namespace {

using namespace std::chrono_literals;
using node::NodeLoad;

/// Only what has gone wrong takes so long.
constexpr auto kPatience = 60s;
constexpr int kSamplesPerWindow = 10;
constexpr std::size_t kMoreDescriptors = 2;

std::string read_file(const std::string& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The children of a process, with their names.
std::vector<Watch::Process> children_of(pid_t parent) {
  std::vector<Watch::Process> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const pid_t pid = std::stoi(name);
    if (Io::system().parent_of(pid) != parent) continue;
    std::string program = read_file(entry.path() / "comm");
    while (!program.empty() && program.back() == '\n') program.pop_back();
    children.push_back({program, pid});
  }
  return children;
}

}  // namespace

Soak::Soak(LoopManager& loop, const std::string& programs, std::chrono::seconds duration)
    : loop_(loop), programs_(programs), duration_(duration) {
  configure(0, false);
  node_ = start("snow-fox-daemon",
                {"--run-dir", directory_ / "run", "--config", directory_ / "node.yaml", "--log-level", "info"},
                "process: ready");
  echo_ = start("echo_server", {"--tcp", "0"}, "listening on ");
  const std::string told = read_file(echo_->log);
  const std::size_t address = told.find("listening on ") + 13;
  echo_address_ = Address::parse(told.substr(address, told.find('\n', address) - address));
  watch_.emplace(processes());
  for (const Watch::Process& process : processes()) descriptors_before_.push_back(descriptors_of(process.pid));
  living_ = live().promise(loop).otherwise([this](const std::exception_ptr& error) {
    tally_.failed("soak", describe(error));
    loop_.stop();
  });
}

Soak::~Soak() = default;

std::unique_ptr<Soak::Server> Soak::start(const std::string& program, const std::vector<std::string>& arguments,
                                          const std::string& ready) {
  auto server = std::make_unique<Server>();
  server->name = program;
  server->log = directory_ / (program + ".log");
  ProcessOptions options;
  options.arguments = {programs_ + "/" + program};
  options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
  options.output = ProcessStream::append_to(server->log);
  options.error = ProcessStream::same_as_output();
  // What is typed at the terminal is for us to act on.
  options.process_group = ProcessGroup::New;
  options.parent_death_signal = SIGKILL;
  server->process.emplace(loop_, options, [this, raw = server.get()](const ProcessExit& exit) {
    if (!raw->may_end || !exit.success()) tally_.failed(raw->name, "ended: " + exit.str());
    finish();
  });
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (read_file(server->log).find(ready) == std::string::npos) {
    if (std::chrono::steady_clock::now() > give_up) throw std::runtime_error(program + " does not start");
    std::this_thread::sleep_for(10ms);
  }
  return server;
}

void Soak::configure(int number, bool bad) const {
  std::string text = bad ? "node: {nam: x}\n" : "node: {name: n" + std::to_string(number) + "}\n";
  text += "api:\n  listen:\n  - tcp:127.0.0.1:0\n";
  if (number % 2 == 1) text += "  - unix:" + (directory_ / "sometimes.sock") + "\n";
  // In one step, for who reads it at the same time.
  const std::string name = directory_ / "node.yaml";
  std::ofstream(name + ".new") << text;
  std::filesystem::rename(name + ".new", name);
}

std::vector<Watch::Process> Soak::processes() const {
  std::vector<Watch::Process> all = children_of(node_->process->pid());
  all.insert(all.begin(), {"snow-fox-daemon", node_->process->pid()});
  all.push_back({"echo_server", echo_->process->pid()});
  all.push_back({"this program", getpid()});
  return all;
}

Task<> Soak::live() {
  const auto public_socket = Address::unix_socket(directory_ / "run/public.sock");
  std::vector<Address> addresses{public_socket};
  {
    node::LoadFigures figures;
    node::LoadClient client(loop_, figures);
    co_await client.connect(public_socket);
    const node::public_api::NodeInfoResponse info = co_await client.status(true);
    for (const std::string& text : info.details().api().listening()) {
      if (text.starts_with("tcp:")) addresses.push_back(Address::parse(text));
    }
  }
  node_load_.emplace(loop_);
  for (const Address& address : addresses) {
    for (unsigned depth = 1; depth <= 3; ++depth) node_load_->stay(address, depth, 3ms);
    node_load_->come_and_go(address, NodeLoad::Listener::Stays, 10ms);
  }
  node_load_->come_and_go(Address::unix_socket(directory_ / "sometimes.sock"), NodeLoad::Listener::ComesAndGoes, 10ms);
  reloads_.emplace(
      loop_, tally_, public_socket, [this](int number, bool bad) { configure(number, bad); },
      [this] { node_->process->signal(SIGHUP); });
  echoes_.emplace(loop_, tally_, echo_address_, public_socket);
  local_.emplace(loop_, tally_);
  co_await watch_over_windows();
  co_await end_all();
  loop_.stop();
}

Task<> Soak::watch_over_windows() {
  const auto window = std::clamp<std::chrono::milliseconds>(duration_ / 12, 1s, 10s);
  fmt::print("KiB and descriptors are those of");
  for (const Watch::Process& process : processes()) fmt::print(" {},", process.name);
  fmt::print(" the least of each {:.0f} s; the answers, of node and echo server\n",
             std::chrono::duration<double>(window).count());
  began_ = loop_.now();
  while (!finishing_) {
    for (int i = 0; i < kSamplesPerWindow && !finishing_; ++i) {
      co_await sleep(loop_, window / kSamplesPerWindow);
      watch_->sample();
    }
    if (finishing_) break;
    const auto passed = std::chrono::duration_cast<std::chrono::seconds>(loop_.now() - began_);
    const std::string line = watch_->end_window({&node_load_->latencies(), &echoes_->latencies()});
    fmt::print("{:5} s: {}, {} failures\n", passed.count(), line, tally_.failures() + node_load_->figures().failures());
    std::fflush(stdout);
    if (loop_.now() - began_ >= duration_) finish();
  }
}

bool Soak::done() const noexcept { return node_load_->done() && reloads_->done() && echoes_->done() && local_->done(); }

Task<> Soak::end_all() {
  const TimePoint give_up = deadline_after(loop_.now(), kPatience);
  node_load_->finish();
  for (Activity* activity :
       {static_cast<Activity*>(&*reloads_), static_cast<Activity*>(&*echoes_), static_cast<Activity*>(&*local_)}) {
    activity->finish();
  }
  while (!done() && loop_.now() < give_up) co_await sleep(loop_, 10ms);
  if (!done()) tally_.failed("soak", "some requests never end");

  // Nobody asks any more: what is open still has been forgotten.
  const auto all = processes();
  for (std::size_t i = 0; i < std::min(all.size(), descriptors_before_.size()); ++i) {
    const std::size_t most = descriptors_before_[i] + kMoreDescriptors;
    while (descriptors_of(all[i].pid) > most && loop_.now() < give_up) co_await sleep(loop_, 10ms);
    if (descriptors_of(all[i].pid) > most) {
      tally_.failed(all[i].name, fmt::format("{} descriptors, {} before", descriptors_of(all[i].pid), most - 2));
    }
  }
  for (Server* server : {node_.get(), echo_.get()}) {
    server->may_end = true;
    server->process->signal(SIGTERM);
    while (server->process->running() && loop_.now() < give_up) co_await sleep(loop_, 10ms);
    if (server->process->running()) tally_.failed(server->name, "does not end");
  }
}

bool Soak::report() {
  fmt::print("\nafter {:.0f} s:\n", std::chrono::duration<double>(loop_.now() - began_).count());
  if (node_load_) {
    const node::LoadFigures& figures = node_load_->figures();
    fmt::print("{:10} connections to the node\n{:10} requests to the node\n{:10} of them answered\n",
               figures.connections, figures.requests, figures.answers);
    for (const auto& [what, count] :
         {std::pair{"connections refused", figures.refused},
          {"answers lost", figures.lost},
          {"answers wrong or doubled", figures.wrong + (reloads_ ? reloads_->figures().wrong : 0)}}) {
      if (count != 0) tally_.failed("node", fmt::format("{} {}", count, what));
    }
    for (const std::string& error : figures.errors) tally_.failed("node", error);
  }
  for (const auto& [what, times] : tally_.all_done()) fmt::print("{:10} {}\n", times, what);
  fmt::print("{}", watch_->summary());
  const auto drifts = watch_->drifts();
  for (const std::string& drift : drifts) fmt::print("DRIFT: {}\n", drift);
  for (const std::string& error : tally_.errors()) fmt::print("FAILURE: {}\n", error);
  const bool good = drifts.empty() && tally_.failures() == 0;
  if (!good)
    fmt::print("\nthe end of the node's log:\n{}\n", [this] {
      const std::string log = read_file(node_->log);
      return log.substr(log.size() - std::min<std::size_t>(log.size(), 2000));
    }());
  fmt::print("{}\n", good ? "nothing lost, nothing doubled, nothing has grown" : "NOT as it should be");
  return good;
}

}  // namespace snowfox::soak
