#include "manager/service_output.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <span>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <snowfox/core/error.h>

namespace snowfox::node {
namespace {

constexpr std::string_view kComponent = "service";

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::system_category(), what);
}

/// Ours to read from, the spawner's, by its group, to write into.
Descriptor open_pipe(const std::string& path) {
  if (::mkfifo(path.c_str(), 0600) != 0 && errno != EEXIST) fail(errno, "make the pipe " + path);
  Descriptor pipe(Io::system(), ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!pipe) fail(errno, "open the pipe " + path);
  struct stat status {};
  if (::fstat(pipe.get(), &status) != 0 || !S_ISFIFO(status.st_mode)) fail(EEXIST, path + " is no pipe");
  if (::fchmod(pipe.get(), 0660) != 0) fail(errno, "set the mode of " + path);
  return pipe;
}

}  // namespace

ServiceOutput::ServiceOutput(LoopManager& loop, std::string service, std::string pipe, OutputSettings settings)
    : loop_(loop),
      service_(std::move(service)),
      pipe_(std::move(pipe)),
      settings_(std::move(settings)),
      lines_(std::make_unique<LineSource>(
          loop, open_pipe(pipe_), [this](const TextLine& line) { take(line); },
          [this](std::error_code reason) {
            loop_.log().error(kComponent, "its output cannot be read any more",
                              {{"service", service_}, {"reason", reason.message()}});
          })) {}

ServiceOutput::~ServiceOutput() = default;

void ServiceOutput::configure(const OutputSettings& settings) {
  settings_ = settings;
  file_.reset();
}

bool ServiceOutput::empty() const noexcept {
  int bytes = 0;
  return lines_->fd() < 0 || ::ioctl(lines_->fd(), FIONREAD, &bytes) != 0 || bytes == 0;
}

void ServiceOutput::remove_pipe() noexcept { ::unlink(pipe_.c_str()); }

void ServiceOutput::take(const TextLine& line) {
  switch (settings_.kind) {
    case OutputSettings::Kind::Discard: return;
    case OutputSettings::Kind::Log: return log(line.text);
    case OutputSettings::Kind::File: return write(line.text);
  }
}

void ServiceOutput::log(const std::string& text) {
  const TimePoint now = loop_.now();
  if (now - second_ >= std::chrono::seconds(1)) {
    if (dropped_ != 0) {
      loop_.log().warning(kComponent, "it says more than the log takes",
                          {{"service", service_}, {"lines_dropped", std::exchange(dropped_, 0)}});
    }
    second_ = now;
    lines_in_it_ = 0;
  }
  if (++lines_in_it_ > kLinesPerSecond) {
    ++dropped_;
    return;
  }
  loop_.log().info("output", text, {{"service", service_}});
}

void ServiceOutput::write(const std::string& text) {
  try {
    if (file_ && file_bytes_ >= settings_.limit_bytes) rotate();
    if (!file_) open_file();
  } catch (const std::system_error& error) {
    return lost(error.what());
  }
  char newline = '\n';
  // They are only read from.
  const std::array<iovec, 2> parts{iovec{const_cast<char*>(text.data()), text.size()}, iovec{&newline, 1}};
  const ssize_t written = Io::system().write(file_.get(), parts);
  if (written < 0) {
    file_.reset();
    return lost(
        fmt::format("write {}: {}", settings_.file, std::system_category().message(static_cast<int>(-written))));
  }
  file_bytes_ += static_cast<std::uint64_t>(written);
  if (dropped_ != 0) {
    loop_.log().warning(kComponent, "its output is written again",
                        {{"service", service_}, {"lines_dropped", std::exchange(dropped_, 0)}});
  }
}

void ServiceOutput::open_file() {
  Io& io = Io::system();
  file_ = Descriptor(io, io.open(settings_.file, O_WRONLY | O_APPEND | O_CREAT, 0640));
  if (!file_) fail(-file_.get(), "open " + settings_.file);
  const auto status = io.status(file_.get());
  file_bytes_ = status ? status->bytes : 0;
  if (file_bytes_ >= settings_.limit_bytes) rotate();
}

void ServiceOutput::rotate() {
  Io& io = Io::system();
  file_.reset();
  const auto name = [this](unsigned number) {
    return number == 0 ? settings_.file : fmt::format("{}.{}", settings_.file, number);
  };
  if (settings_.files == 0) io.remove(settings_.file);
  for (unsigned number = settings_.files; number > 0; --number) {
    const int error = io.rename(name(number - 1), name(number));
    if (number == 1 && error != 0) fail(-error, "rename " + settings_.file);
  }
  file_ = Descriptor(io, io.open(settings_.file, O_WRONLY | O_APPEND | O_CREAT, 0640));
  if (!file_) fail(-file_.get(), "open " + settings_.file);
  file_bytes_ = 0;
}

void ServiceOutput::lost(const std::string& reason) {
  if (dropped_++ == 0) {
    loop_.log().error(kComponent, "its output cannot be written", {{"service", service_}, {"reason", reason}});
  }
}

}  // namespace snowfox::node
