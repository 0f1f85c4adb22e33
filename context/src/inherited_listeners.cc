#include <snowfox/context/inherited_listeners.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>

namespace snowfox {
namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START

/// The text of an environment variable, which is then removed.
std::optional<std::string> take_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  std::string text(value);
  ::unsetenv(name);
  return text;
}

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::system_category(), what);
}

long number(const std::string& variable, const std::string& text) {
  long value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    fail(EINVAL, variable + "=" + text.substr(0, 40) + " is no number");
  }
  return value;
}

int option(int fd, int name, const std::string& what) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, name, &value, &size) != 0) fail(errno, what);
  return value;
}

bool every_interface(const Address& address) {
  if (address.family() == AF_INET) {
    return reinterpret_cast<const sockaddr_in*>(address.data())->sin_addr.s_addr == htonl(INADDR_ANY);
  }
  return address.family() == AF_INET6 &&
         IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6*>(address.data())->sin6_addr);
}

/// A socket for [::] usually serves IPv4 as well: whoever asks for every interface is content with it.
bool serves(const Address& present, const Address& wanted) {
  if (present == wanted) return true;
  return every_interface(present) && every_interface(wanted) && present.port() == wanted.port();
}

InheritedListeners::Inherited inherit(int fd, std::string name) {
  const std::string what = "inherited descriptor " + std::to_string(fd) + " (" + name + ")";
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags < 0) fail(errno, what);
  Descriptor descriptor(Io::system(), fd);
  if (::fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0) fail(errno, what);
  if (option(fd, SO_TYPE, what) != SOCK_STREAM || option(fd, SO_ACCEPTCONN, what) == 0) {
    fail(EINVAL, what + " is no listening stream socket");
  }
  const int status = ::fcntl(fd, F_GETFL);
  if (status < 0 || ::fcntl(fd, F_SETFL, status | O_NONBLOCK) != 0) fail(errno, what);
  Address address = Io::system().local_address(fd);
  return {std::move(name), address, std::move(descriptor)};
}

}  // namespace

InheritedListeners InheritedListeners::from_environment() {
  const auto pid = take_variable("LISTEN_PID");
  const auto count = take_variable("LISTEN_FDS");
  const auto names = take_variable("LISTEN_FDNAMES");
  InheritedListeners inherited;
  if (!pid || !count || number("LISTEN_PID", *pid) != ::getpid()) return inherited;

  std::string_view rest = names ? std::string_view(*names) : std::string_view();
  const long end = kFirst + std::min(number("LISTEN_FDS", *count), ::sysconf(_SC_OPEN_MAX));
  for (int fd = kFirst; fd < end; ++fd) {
    const std::string_view name = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    inherited.all_.push_back(inherit(fd, name.empty() ? "unknown" : std::string(name)));
  }
  return inherited;
}

InheritedListeners InheritedListeners::from_descriptors(int first, const std::vector<std::string>& names) {
  InheritedListeners inherited;
  for (const std::string& name : names) inherited.all_.push_back(inherit(first++, name));
  return inherited;
}

void InheritedListeners::report_unused(Log& log) const {
  for (const Inherited& inherited : all_) {
    if (inherited.taken) continue;
    log.warning("process", "inherited socket that the configuration does not ask for",
                {{"address", inherited.address.str()}, {"name", inherited.name}});
  }
}

std::optional<ListenerSource::Handover> InheritedListeners::take(const Address& address) {
  for (Inherited& inherited : all_) {
    if (!serves(inherited.address, address)) continue;
    Descriptor duplicate(Io::system(), ::fcntl(inherited.descriptor.get(), F_DUPFD_CLOEXEC, 0));
    if (!duplicate) fail(errno, "listen on " + address.str());
    inherited.taken = true;
    return ListenerSource::Handover{std::move(duplicate), inherited.address, nullptr, /*remove_file=*/false};
  }
  return std::nullopt;
}

}  // namespace snowfox
