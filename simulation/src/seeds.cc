#include <snowfox/simulation/seeds.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

namespace snowfox::simulation {
namespace {

constexpr std::size_t kCheckedTwice = 16;

std::optional<std::uint64_t> number_from(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return std::nullopt;
  const std::string_view all(text);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), number);
  if (error != std::errc() || end != all.data() + all.size()) {
    throw std::invalid_argument(fmt::format("{}={}: expected a number", variable, all));
  }
  return number;
}

/// How this program was started, for a shell.
std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string all(std::istreambuf_iterator<char>(file), {});
  std::string text;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find('\0', begin), all.size());
    const std::string argument = all.substr(begin, end - begin);
    const bool plain = argument.find_first_of(" '\"*?$;&|<>()\\") == std::string::npos;
    text += (text.empty() ? "" : " ") + (plain ? argument : "'" + argument + "'");
    begin = end + 1;
  }
  return text;
}

class Progress {
 public:
  explicit Progress(std::size_t all) : all_(all) {}
  void show(std::size_t done) {
    const auto now = Clock::now();
    if (done != all_ && now - shown_ < std::chrono::seconds(2)) return;
    shown_ = now;
    const double seconds = std::max(std::chrono::duration<double>(now - began_).count(), 1e-3);
    fmt::print(stderr, "{} of {} seeds, {:.0f} seeds/s\n", done, all_, static_cast<double>(done) / seconds);
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::size_t all_;
  Clock::time_point began_ = Clock::now();
  Clock::time_point shown_ = began_;
};

void run_one(std::uint64_t seed, bool twice, const SeededRun& run) {
  const std::uint64_t first = run(seed);
  if (!twice) return;
  const std::uint64_t second = run(seed);
  if (first != second) {
    throw RunFailed(
        fmt::format("the same seed gave two runs, with the traces {:016x} and {:016x}: something is decided "
                    "by what the seed does not decide",
                    first, second));
  }
}

}  // namespace

SeedsResult run_seeds(std::size_t fixed, std::size_t random, const SeededRun& run) {
  const auto only = number_from("SNOWFOX_SEED");
  const auto many = number_from("SNOWFOX_SEEDS");
  const std::uint64_t first = number_from("SNOWFOX_FIRST_SEED").value_or(1);
  const std::size_t count = only ? 1 : many ? static_cast<std::size_t>(*many) : fixed + random;
  std::random_device device;
  Progress progress(count);
  SeedsResult result;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t seed = only ? *only : many || i < fixed ? first + i : std::uint64_t{device()} << 32 | device();
    try {
      run_one(seed, only.has_value() || i % kCheckedTwice == 0, run);
    } catch (const std::exception& error) {
      result.failed_seed = seed;
      result.message =
          fmt::format("{}\nto run this seed alone:\n  SNOWFOX_SEED={} {}", error.what(), seed, command_line());
      return result;
    }
    ++result.runs;
    if (many) progress.show(i + 1);
  }
  return result;
}

}  // namespace snowfox::simulation
