#pragma once

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <google/protobuf/util/json_util.h>

#include <snowfox/core/address.h>
#include <snowfox/core/io.h>

#include "protocol/public_api.pb.h"
#include "support/sanitized.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox::node {

using namespace std::chrono_literals;

/// Only what has gone wrong takes so long: sanitizers and a busy machine are slow.
inline constexpr std::chrono::seconds kPatience{40};

/// Looks again and again until `condition` holds; whether it came to hold.
template <typename Condition>
bool eventually(Condition condition, std::chrono::milliseconds patience = kPatience) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

/// What can be read of it: of a process in /proc that has just ended, nothing.
inline std::string read_file(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}
inline void write_file(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

/// The fields of /proc/PID/stat after the name: the state, the parent's pid, …; empty if there is no such process.
inline std::vector<std::string> process_fields(const std::string& pid) {
  const std::string stat = read_file("/proc/" + pid + "/stat");
  const std::size_t end = stat.rfind(')');
  if (end == std::string::npos) return {};
  std::istringstream rest(stat.substr(end + 1));
  return {std::istream_iterator<std::string>(rest), {}};
}
/// Gone, or dead and only not yet waited for.
inline bool gone(pid_t pid) {
  const auto fields = process_fields(std::to_string(pid));
  return fields.empty() || fields[0] == "Z" || fields[0] == "X";
}
inline std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto fields = process_fields(name);
    if (fields.size() > 1 && fields[0] != "Z" && fields[1] == std::to_string(parent))
      children.push_back(std::stoi(name));
  }
  return children;
}

/// From now on the process `pid` may have at most `count` descriptors.
inline int prlimit_descriptors(pid_t pid, rlim_t count) {
  const rlimit limit{count, count};
  return prlimit(pid, RLIMIT_NOFILE, &limit, nullptr);
}

/// A program under test, one of ours or one named by its path: killed, if it still runs, when this goes.
class Program {
 public:
  struct Setup {
    std::string input = "/dev/null";            ///< read as standard input; empty: a pipe, see input()
    std::string output = "/dev/null";           ///< the file that standard output goes to
    std::string error = "/dev/null";            ///< and standard error
    std::vector<std::string> environment = {};  ///< NAME=value, besides what we have
    std::function<void()> in_child = nullptr;   ///< called before the program is executed
  };

  Program(const std::string& name, std::vector<std::string> arguments, const Setup& setup) : setup_(setup) {
    std::array<int, 2> pipe_ends{-1, -1};
    if (setup.input.empty() && pipe2(pipe_ends.data(), O_CLOEXEC) != 0)
      throw std::system_error(errno, std::system_category());
    arguments.insert(arguments.begin(), name[0] == '/' ? name : SNOWFOX_PROGRAM_DIRECTORY "/" + name);
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      // A test that is killed takes the node with it.
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(setup.input.empty() ? pipe_ends[0] : open(setup.input.c_str(), O_RDONLY), 0);
      dup2(open(setup.output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), 1);
      dup2(open(setup.error.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), 2);
      for (const std::string& variable : setup.environment) {
        const std::size_t equals = variable.find('=');
        setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
      }
      if (setup.in_child) setup.in_child();
      execv(argv[0], argv.data());
      _exit(127);
    }
    if (pipe_ends[0] >= 0) ::close(pipe_ends[0]);
    input_ = Descriptor(Io::system(), pipe_ends[1]);
  }
  ~Program() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Program(Program&& other) noexcept
      : setup_(std::move(other.setup_)), pid_(std::exchange(other.pid_, -1)), input_(std::move(other.input_)) {}
  Program& operator=(Program&&) = delete;

  pid_t pid() const { return pid_; }
  bool running() const { return pid_ > 0 && !gone(pid_); }
  /// Nothing if it has ended: -1, given to kill(2), is every process there is.
  void kill(int signal) const {
    ASSERT_GT(pid_, 0);
    ::kill(pid_, signal);
  }
  void type(std::string_view text) const {
    EXPECT_EQ(::write(input_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void close_input() { input_.reset(); }
  std::string output() const { return read_file(setup_.output); }
  std::string error() const { return read_file(setup_.error); }
  const std::string& log_file() const { return setup_.error; }

  /// Waits for the end. The exit code; 128 + the signal, if one ended it; -1 if it did not end in time.
  int wait(std::chrono::milliseconds patience = kPatience) {
    int status = 0;
    if (!eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }, patience)) return -1;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  Setup setup_;
  pid_t pid_ = -1;
  Descriptor input_;
};

/// How a program ended, and what it said.
struct Finished {
  int exit_code = -1;
  std::string output;
  std::string error;
  std::chrono::milliseconds took{};
};

inline std::size_t lines(std::string_view text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

/// A client made by hand, which may do what no client should.
class RawClient {
 public:
  using Message = public_api::Message;

  explicit RawClient(const Address& address) : socket_(connect_to(address)) {}
  /// It may also be what a client talks to.
  explicit RawClient(Descriptor socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  /// For who goes on alone.
  Descriptor take_socket() { return std::move(socket_); }
  static std::string frame(const Message& message) {
    const std::string body = message.SerializeAsString();
    const auto size = static_cast<std::uint32_t>(body.size());
    std::string framed;
    for (int shift = 24; shift >= 0; shift -= 8) framed += static_cast<char>(size >> shift & 0xff);
    return framed + body;
  }
  void send(const Message& message) const { send_bytes(frame(message)); }
  void send_bytes(std::string_view bytes) const {
    ASSERT_EQ(::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  /// The next message; nothing if the connection is closed instead.
  std::optional<Message> receive() {
    for (;;) {
      if (received_.size() >= 4) {
        std::size_t size = 0;
        for (int i = 0; i < 4; ++i)
          size = size << 8 | static_cast<unsigned char>(received_[static_cast<std::size_t>(i)]);
        if (received_.size() >= 4 + size) {
          Message message;
          EXPECT_TRUE(message.ParseFromArray(received_.data() + 4, static_cast<int>(size)));
          received_.erase(0, 4 + size);
          return message;
        }
      }
      if (!read_more()) return std::nullopt;
    }
  }
  /// Whether the node closes the connection, whatever it sends before.
  bool closed_by_peer() {
    while (read_more()) {
    }
    return at_end(fd());
  }
  Message ask(const Message& message) {
    send(message);
    auto answer = receive();
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(Message());
  }
  /// Says who it is, and learns its id.
  void introduce() {
    Message message = make(public_api::INTRODUCE_REQUEST, "hello");
    message.mutable_introduce_request();
    id_ = ask(message).introduce_response().client_id();
    EXPECT_FALSE(id_.empty());
  }
  const std::string& id() const { return id_; }
  Message make(public_api::Code code, const std::string& correlation_id) const {
    Message message;
    message.set_code(code);
    message.set_correlation_id(correlation_id);
    return message;
  }
  Message status_request(bool details = false) {
    Message message = make(public_api::NODE_INFO_REQUEST, id_ + "/" + std::to_string(++last_));
    message.mutable_node_info_request()->set_details(details);
    return message;
  }
  bool is_served() { return ask(status_request()).has_node_info_response(); }

 private:
  bool read_more() {
    pollfd readable{fd(), POLLIN, 0};
    if (poll(&readable, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) != 1) return false;
    std::array<char, 65536> part;
    const ssize_t count = ::recv(fd(), part.data(), part.size(), 0);
    if (count <= 0) return false;
    received_.append(part.data(), static_cast<std::size_t>(count));
    return true;
  }

  Descriptor socket_;
  std::string received_;
  std::string id_;
  int last_ = 0;
};

/// A place for a node and its clients.
class NodeTest : public testing::Test {
 protected:
  NodeTest() { configure("node: {name: test}\n"); }
  ~NodeTest() override {
    if (HasFailure() && daemon_) std::cerr << "--- the log of the node:\n" << daemon_->error();
  }

  std::string path(const std::string& name) const { return directory_ / name; }
  std::string run_directory() const { return path("run"); }
  Address socket() const { return Address::unix_socket(run_directory() + "/public.sock"); }
  std::string configuration() const { return path("node.yaml"); }
  void configure(const std::string& text) const { write_file(configuration(), text); }

  Program daemon(std::vector<std::string> more = {}, std::vector<std::string> environment = {}) {
    return program("snow-fox-daemon", std::move(more), std::move(environment));
  }
  /// `name` may be the path of another daemon.
  Program program(const std::string& name, std::vector<std::string> more, std::vector<std::string> environment) {
    std::vector<std::string> arguments{"--run-dir", run_directory(), "--config", configuration()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const std::string log = path("log" + std::to_string(++files_));
    return {name, arguments, {.output = log, .error = log, .environment = std::move(environment)}};
  }
  /// Starts a node and waits until it serves clients.
  void start(std::vector<std::string> more = {}, std::vector<std::string> environment = {}) {
    start_program("snow-fox-daemon", std::move(more), std::move(environment));
  }
  void start_program(const std::string& name, std::vector<std::string> more, std::vector<std::string> environment) {
    daemon_.emplace(program(name, std::move(more), std::move(environment)));
    ASSERT_TRUE(eventually([&] { return !daemon_->running() || said("process: ready"); }));
    ASSERT_TRUE(daemon_->running()) << daemon_->error();
    parts_ = children_of(daemon_->pid());
    ASSERT_EQ(parts_.size(), 2);
    parts_.push_back(daemon_->pid());
  }
  bool said(std::string_view text) const { return daemon_->error().find(text) != std::string::npos; }
  /// Whether it comes to say so: the log is written when it suits the node, not before its effects are seen.
  bool says(std::string_view text) const {
    return eventually([&] { return said(text); });
  }
  /// The node has ended, and nothing of it is left.
  void expect_nothing_left() const {
    for (const pid_t pid : parts_) EXPECT_TRUE(eventually([&] { return gone(pid); })) << pid;
    EXPECT_FALSE(std::filesystem::exists(run_directory()));
  }
  void stop(int exit_code = 0) {
    daemon_->kill(SIGTERM);
    EXPECT_EQ(daemon_->wait(), exit_code);
    expect_nothing_left();
  }
  pid_t manager() const { return part("snow-fox-manage"); }
  pid_t spawner() const { return part("snow-fox-spawne"); }

  Program client_program(std::vector<std::string> more, Program::Setup setup = {}) {
    std::vector<std::string> arguments = std::move(more);
    if (std::find(arguments.begin(), arguments.end(), "--socket") == arguments.end()) {
      arguments.insert(arguments.end(), {"--socket", run_directory() + "/public.sock"});
    }
    const std::string number = std::to_string(++files_);
    setup.output = path("output" + number);
    setup.error = path("error" + number);
    return {"snow-fox-client", arguments, setup};
  }
  Finished client(std::vector<std::string> more, const Program::Setup& setup = {}) {
    const auto began = std::chrono::steady_clock::now();
    Program program = client_program(std::move(more), setup);
    Finished finished;
    finished.exit_code = program.wait();
    finished.took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
    finished.output = program.output();
    finished.error = program.error();
    return finished;
  }
  /// Asks the node for its details, as a script would.
  public_api::NodeInfoResponse status() {
    const Finished asked = client({"--json", "--eval", "node.status(true)"});
    EXPECT_EQ(asked.exit_code, 0) << asked.error;
    public_api::NodeInfoResponse info;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(asked.output, &info).ok()) << asked.output;
    return info;
  }
  /// All services, or one, as a script would see them.
  std::vector<public_api::Service> services(const std::string& id = {}) {
    const Finished asked = client({"--json", "--eval", "service.list(" + (id.empty() ? id : "'" + id + "'") + ")"});
    EXPECT_EQ(asked.exit_code, 0) << asked.error;
    public_api::ServiceListResponse list;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage("{\"services\":" + asked.output + "}", &list).ok())
        << asked.output;
    return {list.services().begin(), list.services().end()};
  }
  public_api::Service service(const std::string& id) {
    const auto all = services(id);
    return all.empty() ? public_api::Service() : all.front();
  }
  /// Waits until the service is in this state.
  public_api::Service service_in(const std::string& id, public_api::Service::State state) {
    public_api::Service found;
    EXPECT_TRUE(eventually([&] { return (found = service(id)).state() == state; }))
        << id << " is " << public_api::Service::State_Name(found.state());
    return found;
  }
  Finished ask(const std::string& code) { return client({"--eval", code}); }
  /// Sends HUP and waits until the configuration that was written is in force.
  void reload_by_signal(const std::string& text) {
    const auto before = status().configuration().effective_version();
    configure(text);
    daemon_->kill(SIGHUP);
    EXPECT_TRUE(eventually([&] { return status().configuration().effective_version() != before; }));
  }

  TemporaryDirectory directory_;
  std::optional<Program> daemon_;
  std::vector<pid_t> parts_;

 private:
  pid_t part(const std::string& name) const {
    for (const pid_t pid : parts_) {
      if (read_file("/proc/" + std::to_string(pid) + "/comm").starts_with(name)) return pid;
    }
    throw std::runtime_error("no " + name);
  }
  int files_ = 0;
};

}  // namespace snowfox::node
