#include "kernel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "world.h"

namespace snowfox::simulation {
namespace {

std::string ip_of(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.family() == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address.data())->sin_addr, text.data(), text.size());
  } else {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(address.data())->sin6_addr, text.data(), text.size());
  }
  return text.data();
}

bool is_wildcard(const std::string& ip) { return ip == "0.0.0.0" || ip == "::"; }
bool is_loopback(const std::string& ip) { return ip.starts_with("127.") || ip == "::1"; }

std::string key_of(const Address& address) {
  if (address.is_unix()) return address.str();
  const std::string ip = ip_of(address);
  return (is_wildcard(ip) ? "*" : is_loopback(ip) ? "localhost" : ip) + ":" + std::to_string(address.port());
}

std::shared_ptr<Listener> find_listener(Host::State& host, const std::string& key) {
  const auto found = host.listeners.find(key);
  return found == host.listeners.end() ? nullptr : found->second.lock();
}

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::system_category(), what);
}

}  // namespace

// --- descriptors ---

Object* Kernel::find(int fd) const noexcept {
  const auto found = table.find(fd);
  return found == table.end() ? nullptr : found->second.get();
}

std::shared_ptr<Object> Kernel::share(int fd) const noexcept {
  const auto found = table.find(fd);
  return found == table.end() ? nullptr : found->second;
}

template <typename T>
T* Kernel::find(int fd, std::string_view what) {
  Object* object = find(fd);
  if (object == nullptr && !process_.dead) {
    process_.world.broken(process_, std::string(what) + " on descriptor " + std::to_string(fd) + ", which is not open");
  }
  return dynamic_cast<T*>(object);
}

int Kernel::open(std::shared_ptr<Object> object) {
  if (full()) {
    object->closed(false);
    return -EMFILE;
  }
  int fd = 3;
  for (const auto& [taken, _] : table) {
    if (taken > fd) break;
    if (taken == fd) ++fd;
  }
  table.emplace(fd, std::move(object));
  return fd;
}

void Kernel::close(int fd) noexcept {
  const CodeOfSimulator here;
  if (process_.dead) return;
  const auto found = table.find(fd);
  if (found == table.end()) {
    process_.world.broken(process_, "close of descriptor " + std::to_string(fd) + ", which is not open");
    return;
  }
  process_.world.trace("close", process_.pid, fd);
  if (process_.poller != nullptr && process_.poller->watches(fd)) {
    process_.world.broken(process_, "descriptor " + std::to_string(fd) + " (" + found->second->describe() +
                                        ") closed while it is watched");
  }
  const std::shared_ptr<Object> object = std::move(found->second);
  table.erase(found);
  if (object.use_count() == 1) object->closed(false);
}

void Kernel::close_all(bool silently) noexcept {
  const CodeOfSimulator here;
  for (auto& [_, object] : std::exchange(table, {})) {
    if (object.use_count() == 1) object->closed(silently);
    object.reset();
  }
}

int Kernel::trouble(double rate, std::initializer_list<int> errors) noexcept {
  if (process_.dead) return EBADF;
  ++calls;
  const bool turn_has_come = calls == failing_call;
  if (!turn_has_come && !process_.world.random.chance(rate)) return 0;
  return *(errors.begin() + (turn_has_come ? 0 : process_.world.random.below(errors.size())));
}

// --- reading and writing ---

ssize_t Kernel::read_some(int fd, std::span<std::byte> into, bool socket) {
  const CodeOfSimulator here;
  auto& world = process_.world;
  if (process_.dead) return -EBADF;
  Object* object = find<Object>(fd, "read");
  if (object == nullptr) return -EBADF;
  if (auto* signals = dynamic_cast<SignalQueue*>(object)) {
    if (into.size() < sizeof(signalfd_siginfo)) return -EINVAL;
    if (signals->pending.empty()) return -EAGAIN;
    std::memcpy(into.data(), &signals->pending.front(), sizeof(signalfd_siginfo));
    signals->pending.pop_front();
    return sizeof(signalfd_siginfo);
  }
  if (auto* file = dynamic_cast<OpenFile*>(object)) return socket ? -ENOTSOCK : read_file(*file, into);
  auto* end = dynamic_cast<StreamEnd*>(object);
  if (end == nullptr) return -EINVAL;
  if (socket && end->kind() == StreamEnd::Kind::Pipe) return -ENOTSOCK;
  const Faults& faults = process_.faults();
  if (end->kind() != StreamEnd::Kind::Pipe && trouble(faults.reset, {ECONNRESET}) != 0) end->reset();
  if (world.random.chance(faults.would_block)) return -EAGAIN;
  std::size_t most = into.size();
  if (most > 1 && world.random.chance(faults.short_read))
    most = 1 + world.random.below(std::min<std::size_t>(most, 64));
  const ssize_t count = end->read(reinterpret_cast<char*>(into.data()), most);
  world.trace("read", process_.pid * 1000 + fd, count,
              {reinterpret_cast<const char*>(into.data()), static_cast<std::size_t>(std::max<ssize_t>(count, 0))});
  return count;
}

ssize_t Kernel::write_some(int fd, std::span<const iovec> from, bool socket) {
  const CodeOfSimulator here;
  auto& world = process_.world;
  if (process_.dead) return -EBADF;
  Object* object = find<Object>(fd, "write");
  if (object == nullptr) return -EBADF;
  std::string bytes;
  for (const iovec& piece : from) bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  if (auto* file = dynamic_cast<OpenFile*>(object)) return socket ? -ENOTSOCK : write_file(*file, bytes);
  auto* end = dynamic_cast<StreamEnd*>(object);
  if (end == nullptr) return -EINVAL;
  if (socket && end->kind() == StreamEnd::Kind::Pipe) return -ENOTSOCK;
  const Faults& faults = process_.faults();
  if (end->kind() != StreamEnd::Kind::Pipe && trouble(faults.reset, {EPIPE}) != 0) end->reset();
  if (world.random.chance(faults.would_block)) return -EAGAIN;
  if (socket && world.random.chance(faults.no_buffers)) return -ENOBUFS;
  std::string_view part = bytes;
  if (bytes.size() > 1 && world.random.chance(faults.short_write))
    part = part.substr(0, 1 + world.random.below(bytes.size()));
  const ssize_t count = end->write(part);
  world.trace("write", process_.pid * 1000 + fd, count,
              part.substr(0, static_cast<std::size_t>(std::max<ssize_t>(count, 0))));
  return count;
}

ssize_t Kernel::read_file(OpenFile& file, std::span<std::byte> into) {
  auto& world = process_.world;
  if (const int error = trouble(0, {EIO})) return -error;
  std::size_t most = into.size();
  if (most > 1 && world.random.chance(process_.faults().short_read)) most = 1 + world.random.below(most);
  const ssize_t count = file.read(reinterpret_cast<char*>(into.data()), most);
  world.trace("read file", process_.pid, count);
  return count;
}

ssize_t Kernel::write_file(OpenFile& file, std::string_view bytes) {
  auto& world = process_.world;
  if (const int error = trouble(process_.faults().no_space, {ENOSPC, EIO})) return -error;
  if (bytes.size() > 1 && world.random.chance(process_.faults().short_write)) {
    bytes = bytes.substr(0, 1 + world.random.below(bytes.size()));
  }
  const ssize_t count = file.write(bytes);
  world.trace("write file", process_.pid, count, bytes);
  return count;
}

ssize_t Kernel::read(int fd, std::span<std::byte> into) { return read_some(fd, into, false); }
ssize_t Kernel::receive(int fd, std::span<std::byte> into) { return read_some(fd, into, true); }
ssize_t Kernel::write(int fd, std::span<const iovec> from) { return write_some(fd, from, false); }
ssize_t Kernel::send(int fd, std::span<const iovec> from) { return write_some(fd, from, true); }

void Kernel::shutdown_write(int fd) noexcept {
  const CodeOfSimulator here;
  if (process_.dead) return;
  process_.world.trace("shutdown", process_.pid, fd);
  if (auto* end = find<StreamEnd>(fd, "shutdown")) end->shut_down_writing();
}

std::size_t Kernel::undelivered_bytes(int fd) noexcept {
  const CodeOfSimulator here;
  const auto* end = dynamic_cast<const StreamEnd*>(find(fd));
  return end != nullptr && end->kind() == StreamEnd::Kind::Tcp ? end->undelivered() : 0;
}

// --- connections ---

std::size_t Kernel::draw_room() noexcept {
  const SimulationOptions& options = process_.world.options;
  return static_cast<std::size_t>(
      process_.world.random.between(options.least_socket_buffer, options.most_socket_buffer));
}

int Kernel::accept(int fd, Address& peer) {
  const CodeOfSimulator here;
  auto& world = process_.world;
  if (process_.dead) return -EBADF;
  auto* listener = find<Listener>(fd, "accept");
  if (listener == nullptr) return -EINVAL;
  if (listener->waiting.empty() || world.random.chance(process_.faults().would_block)) return -EAGAIN;
  if (const int error = trouble(process_.faults().accept, {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED})) {
    if (error == ECONNABORTED) {
      const auto lost = std::move(listener->waiting.front());
      listener->waiting.pop_front();
      lost->reset();
      lost->closed(false);
    }
    return -error;
  }
  if (full()) return -EMFILE;
  const std::shared_ptr<StreamEnd> end = std::move(listener->waiting.front());
  listener->waiting.pop_front();
  peer = end->remote.value_or(Address());
  const int accepted = open(end);
  world.trace("accept", process_.pid * 1000 + fd, accepted);
  return accepted;
}

Descriptor Kernel::listen(const Address& address, const ListenOptions& options) {
  const CodeOfSimulator here;
  const std::string what = "listen on " + address.str();
  if (const int error = trouble(process_.faults().listen, {EADDRINUSE, EMFILE})) fail(error, what);
  if (full()) fail(EMFILE, what);
  Host::State& host = process_.machine;
  Address bound = address;
  if (!address.is_unix() && address.port() == 0) bound = Address::tcp(ip_of(address), host.next_port++);
  const std::string key = key_of(bound);
  if (find_listener(host, key)) fail(EADDRINUSE, what);
  auto listener =
      std::make_shared<Listener>(bound, static_cast<std::size_t>(std::max(options.backlog, 1)), process_.pid);
  host.listeners[key] = listener;
  const int fd = open(std::move(listener));
  process_.world.trace("listen", process_.pid, fd, key);
  return {*this, fd};
}

int Kernel::connect(const Address& address) {
  const CodeOfSimulator here;
  auto& world = process_.world;
  if (full()) return -EMFILE;
  const int error = trouble(process_.faults().connect, {ECONNREFUSED, EMFILE, ENETUNREACH, ETIMEDOUT, EAGAIN});
  if (error == EMFILE || (error == EAGAIN && address.is_unix())) return -error;
  if (error == ECONNREFUSED && address.is_unix()) return -error;
  const int fd = address.is_unix() ? connect_unix(address) : connect_tcp(address);
  if (fd >= 0 && !address.is_unix() && error != 0) {
    static_cast<StreamEnd*>(find(fd))->reset();
    static_cast<StreamEnd*>(find(fd))->connected(error == EAGAIN ? ETIMEDOUT : error);
  }
  world.trace("connect", process_.pid, fd, key_of(address));
  return fd;
}

int Kernel::connect_unix(const Address& address) {
  Host::State& host = process_.machine;
  const std::string key = key_of(address);
  if (!host.listeners.contains(key)) return -ENOENT;
  const auto listener = find_listener(host, key);
  if (!listener) return -ECONNREFUSED;
  if (listener->waiting.size() > listener->backlog) return -EAGAIN;
  auto ours = std::make_shared<StreamEnd>(process_.world, process_.machine, StreamEnd::Kind::Unix, draw_room());
  auto theirs = std::make_shared<StreamEnd>(process_.world, process_.machine, StreamEnd::Kind::Unix, draw_room());
  StreamEnd::join(ours, theirs);
  ours->remote = theirs->local = listener->address;
  ours->local = address;
  theirs->credentials = PeerCredentials{process_.pid, 0, 0};
  // As SO_PEERCRED says it: who listened, wherever the socket has gone since.
  ours->credentials = PeerCredentials{listener->pid, 0, 0};
  listener->waiting.push_back(std::move(theirs));
  return open(std::move(ours));
}

int Kernel::connect_tcp(const Address& address) {
  auto& world = process_.world;
  const std::string ip = ip_of(address);
  Host::State* there = world.host_at(ip, process_.machine);
  auto ours = std::make_shared<StreamEnd>(process_.world, process_.machine, StreamEnd::Kind::Tcp, draw_room());
  ours->connecting_ = true;
  ours->local = Address::tcp(is_loopback(ip) ? "127.0.0.1" : process_.machine.ip, process_.machine.next_port++);
  ours->remote = address;
  const std::size_t room = draw_room();
  const int fd = open(ours);
  if (fd < 0) return fd;

  // It arrives there, and the answer here; while the way is cut it is tried again.
  struct Attempt {
    Simulation::World& world;
    std::weak_ptr<StreamEnd> ours;
    Host::State* there;
    Address address;
    std::size_t room;

    void operator()() const {
      const auto end = ours.lock();
      if (!end || !end->connecting()) return;
      if (there == nullptr) return end->connected(ENETUNREACH);
      if (world.is_cut(end->host, *there)) return world.after(std::chrono::seconds(1), *this);
      const std::string port = ":" + std::to_string(address.port());
      const std::string ip = ip_of(address);
      std::shared_ptr<Listener> listener = find_listener(*there, is_loopback(ip) ? "localhost" + port : ip + port);
      if (!listener) listener = find_listener(*there, "*" + port);
      if (!listener) return end->connected(ECONNREFUSED);
      if (listener->waiting.size() > listener->backlog) return world.after(std::chrono::seconds(1), *this);
      auto theirs = std::make_shared<StreamEnd>(world, *there, StreamEnd::Kind::Tcp, room);
      StreamEnd::join(end, theirs);
      theirs->local = address;
      theirs->remote = end->local;
      listener->waiting.push_back(std::move(theirs));
      end->connected(0);
    }
  };
  world.after(there == nullptr ? std::chrono::milliseconds(1) : world.latency(process_.machine, *there) * 2,
              Attempt{world, ours, there, address, room});
  return fd;
}

std::error_code Kernel::connect_result(int fd) {
  const CodeOfSimulator here;
  auto* end = find<StreamEnd>(fd, "connect_result");
  if (end == nullptr) return {EBADF, std::system_category()};
  if (end->connecting()) return {EINPROGRESS, std::system_category()};
  return {end->take_error(), std::system_category()};
}

Address Kernel::local_address(int fd) {
  const CodeOfSimulator here;
  Object* object = find<Object>(fd, "local_address");
  if (auto* listener = dynamic_cast<Listener*>(object)) return listener->address;
  if (auto* end = dynamic_cast<StreamEnd*>(object)) return end->local;
  fail(ENOTSOCK, "read a socket's address");
}

std::optional<Address> Kernel::peer_address(int fd) noexcept {
  const CodeOfSimulator here;
  auto* end = dynamic_cast<StreamEnd*>(find(fd));
  return end != nullptr && end->kind() == StreamEnd::Kind::Tcp ? end->remote : std::nullopt;
}

std::optional<PeerCredentials> Kernel::peer_credentials(int fd) {
  auto* end = dynamic_cast<StreamEnd*>(find(fd));
  return end != nullptr ? end->credentials : std::nullopt;
}

// --- files ---

int Kernel::open(const std::string& path, int flags, mode_t) {
  const CodeOfSimulator here;
  Disk& disk = process_.machine.disk;
  if (const int error = trouble(process_.faults().open, {EMFILE, ENFILE, EIO})) return -error;
  auto inode = disk.find(path);
  const bool creates = (flags & O_CREAT) != 0;
  if (!inode && disk.has_directory(path)) {
    if (creates || (flags & O_ACCMODE) != O_RDONLY) return -EISDIR;
    return open(std::make_shared<OpenDirectory>(path));
  }
  if (inode && (flags & O_DIRECTORY) != 0) return -ENOTDIR;
  if (inode && creates && (flags & O_EXCL) != 0) return -EEXIST;
  if (!inode && !creates) return -ENOENT;
  if (full()) return -EMFILE;
  if (!inode) inode = disk.create(path);
  if ((flags & O_TRUNC) != 0) inode->truncate(0);
  const int fd = open(std::make_shared<OpenFile>(path, flags, std::move(inode)));
  process_.world.trace("open", process_.pid, fd, path);
  return fd;
}

std::optional<FileStatus> Kernel::status(int fd) {
  const CodeOfSimulator here;
  Object* object = find<Object>(fd, "status");
  if (object == nullptr) return std::nullopt;
  auto* file = dynamic_cast<OpenFile*>(object);
  return file == nullptr ? FileStatus() : FileStatus{true, file->inode().bytes().size()};
}

int Kernel::sync(int fd) {
  const CodeOfSimulator here;
  auto& world = process_.world;
  const int error = trouble(process_.faults().sync, {EIO, ENOSPC});
  if (process_.dead) return -error;
  Object* object = find<Object>(fd, "sync");
  world.trace("sync", process_.pid, fd);
  if (auto* directory = dynamic_cast<OpenDirectory*>(object)) {
    if (error == 0) process_.machine.disk.sync_directory(directory->path);
    return -error;
  }
  auto* file = dynamic_cast<OpenFile*>(object);
  if (file == nullptr) return -EINVAL;
  if (error == 0) {
    file->inode().sync();
  } else {
    file->inode().lose_some(world.random);
  }
  return -error;
}

int Kernel::truncate(int fd, std::uint64_t bytes) {
  const CodeOfSimulator here;
  if (const int error = trouble(process_.faults().no_space, {EIO})) return -error;
  auto* file = find<OpenFile>(fd, "truncate");
  if (file == nullptr) return -EINVAL;
  process_.world.trace("truncate", process_.pid, fd);
  file->inode().truncate(bytes);
  return 0;
}

int Kernel::rename(const std::string& from, const std::string& to) {
  const CodeOfSimulator here;
  if (const int error = trouble(process_.faults().no_space, {ENOSPC, EIO})) return -error;
  process_.world.trace("rename", process_.pid, 0, to);
  return process_.machine.disk.rename(from, to) ? 0 : -ENOENT;
}

int Kernel::remove(const std::string& path) {
  const CodeOfSimulator here;
  if (const int error = trouble(0, {EIO})) return -error;
  process_.world.trace("remove", process_.pid, 0, path);
  return process_.machine.disk.remove(path) ? 0 : -ENOENT;
}

int Kernel::list(const std::string& directory, std::vector<std::string>& names) {
  const CodeOfSimulator here;
  if (const int error = trouble(process_.faults().open, {EMFILE, ENFILE, EIO})) return -error;
  Disk& disk = process_.machine.disk;
  if (disk.find(directory)) return -ENOTDIR;
  if (!disk.has_directory(directory)) return -ENOENT;
  names = disk.list(directory);
  return 0;
}

// --- signals and processes ---

Descriptor Kernel::take_signals(const sigset_t& signals, sigset_t& newly_blocked) {
  const CodeOfSimulator here;
  if (const int error = trouble(process_.faults().signals, {EMFILE})) fail(error, "wait for signals");
  const int fd = open(std::make_shared<SignalQueue>(signals));
  if (fd < 0) fail(-fd, "wait for signals");
  newly_blocked = signals;
  return {*this, fd};
}
void Kernel::give_back_signals(const sigset_t&, const sigset_t&) noexcept {}

pid_t Kernel::process_id() noexcept { return process_.pid; }
pid_t Kernel::parent_of(pid_t pid) noexcept {
  const Process::State* process = process_.world.process(pid);
  return process == nullptr ? 0 : process->parent;
}

LaunchedProcess Kernel::launch(const ProcessOptions& options) {
  const CodeOfSimulator here;
  const std::string what = "start " + program_of(options);
  if (const int error = trouble(process_.faults().launch, {EAGAIN, ENOMEM, EMFILE})) fail(error, what);
  const auto program = process_.machine.programs.find(program_of(options));
  if (program == process_.machine.programs.end()) fail(ENOENT, what + ": execute");
  std::map<int, std::shared_ptr<Object>> inherited;
  for (const PassedDescriptor& passed : options.descriptors) {
    if (auto object = share(passed.from)) inherited[passed.to] = std::move(object);
  }
  LaunchedProcess launched;
  const auto stream = [&](const ProcessStream& asked, int number, Descriptor& ours) {
    if (asked.kind() == ProcessStream::Kind::Output && inherited.contains(1)) inherited[number] = inherited[1];
    if (asked.kind() == ProcessStream::Kind::Descriptor) inherited[number] = share(asked.fd());
    if (asked.kind() != ProcessStream::Kind::Pipe) return;
    auto one = std::make_shared<StreamEnd>(process_.world, process_.machine, StreamEnd::Kind::Pipe, draw_room());
    auto other = std::make_shared<StreamEnd>(process_.world, process_.machine, StreamEnd::Kind::Pipe, draw_room());
    StreamEnd::join(one, other);
    const int fd = open(one);
    if (fd < 0) fail(-fd, what + ": make a pipe");
    ours = Descriptor(*this, fd);
    inherited[number] = std::move(other);
  };
  stream(options.input, 0, launched.input);
  stream(options.output, 1, launched.output);
  stream(options.error, 2, launched.error);
  if (full()) fail(EMFILE, what + ": pidfd_open");

  const std::string& file = program_of(options);
  Process& child = process_.world.start(process_.machine, file.substr(file.rfind('/') + 1), program->second, {},
                                        process_.pid, options.arguments, std::move(inherited));
  launched.pid = child.pid();
  if (options.before_execution) options.before_execution(launched.pid);
  launched.pidfd = Descriptor(*this, open(std::make_shared<ProcessHandle>(process_.world, launched.pid)));
  return launched;
}

std::optional<ProcessExit> Kernel::reap(int, pid_t pid) noexcept {
  ProcessExit exit;
  exit.pid = pid;
  const Process::State* child = process_.world.process(pid);
  if (process_.dead || child == nullptr) return exit;
  if (!child->exit_code) return std::nullopt;
  if (*child->exit_code > 128) {
    exit.signal = *child->exit_code - 128;
  } else {
    exit.code = *child->exit_code;
  }
  return exit;
}

bool Kernel::ended(int pidfd, int) noexcept {
  const auto* handle = dynamic_cast<ProcessHandle*>(find(pidfd));
  return handle == nullptr || handle->readable();
}

int Kernel::signal(int pidfd, int signal) noexcept {
  const auto* handle = dynamic_cast<ProcessHandle*>(find(pidfd));
  if (process_.dead || handle == nullptr || handle->readable()) return ESRCH;
  process_.world.process(handle->pid)->signal(signal, process_.pid);
  return 0;
}

int Kernel::signal_group(pid_t group, int signal) noexcept {
  Process::State* leader = process_.world.process(group);
  if (process_.dead || leader == nullptr || leader->exit_code) return ESRCH;
  leader->signal(signal, process_.pid);
  return 0;
}

}  // namespace snowfox::simulation
