// What a scalar means, written and read again, means the same. The input is the scalar, as it stands in a file.
#include <array>
#include <charconv>
#include <optional>
#include <string>

#include <fmt/format.h>

#include <snowfox/context/yaml_reader.h>

#include "fuzz.h"
#include "problems.h"

using namespace snowfox;
using namespace std::chrono_literals;

namespace {

/// The value that `text` gives when it is read by `form`; nothing if it is refused.
template <typename T, typename Form = ReadYaml>
std::optional<T> read(std::string_view text, const Form& form = {}) try {
  const std::string document = "value: " + std::string(text);
  const YamlReader reader = YamlReader::parse(document, "file");
  try {
    T target{};
    reader.read(target, [&](const YamlValue& root, T& inner) {
      root.mapping([&](YamlMapping& mapping) { mapping.required("value", inner, form); });
    });
    return target;
  } catch (const ConfigurationError& error) {
    check_problems(error, document, "file");
    return std::nullopt;
  }
} catch (const ConfigurationError&) {
  return std::nullopt;
}

template <typename T, typename Form, typename Write>
void check(std::string_view text, const Form& form, const Write& write, std::string_view otherwise) {
  const std::optional<T> value = read<T>(text, form);
  if (value) demand(read<T>(write(*value), form) == value, otherwise);
}

std::string decimal(auto number) {
  std::array<char, 64> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr};
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto nanoseconds = [](Duration time) { return decimal(time.count()) + "ns"; };
  check<Duration>(text, ReadYaml(), nanoseconds, "a duration is another when written and read again");
  check<std::chrono::milliseconds>(
      text, ReadYaml(), [](auto time) { return decimal(time.count()) + "ms"; }, "milliseconds become others");
  if (const auto time = read<Duration>(text, between(1s, 1h))) {
    demand(*time >= 1s && *time <= 1h, "a duration is outside of its bounds");
  }
  check<std::uint64_t>(text, in_bytes(), decimal<std::uint64_t>, "a size is another when written and read again");
  check<std::uint8_t>(text, in_bytes(), decimal<std::uint8_t>, "a small size is another when written and read again");
  check<std::uint64_t>(text, ReadYaml(), decimal<std::uint64_t>, "an integer is another when written and read again");
  check<std::int64_t>(text, ReadYaml(), decimal<std::int64_t>, "an integer with a sign becomes another");
  check<std::int8_t>(text, ReadYaml(), decimal<std::int8_t>, "a small integer becomes another");
  check<double>(text, ReadYaml(), decimal<double>, "a number is another when written and read again");
  check<bool>(
      text, ReadYaml(), [](bool truth) { return truth ? "true" : "false"; }, "a truth becomes another");
  check<unsigned>(
      text, permissions(), [](unsigned mode) { return fmt::format("{:o}", mode); }, "a mode becomes another");
  check<LogLevel>(
      text, ReadYaml(), [](LogLevel level) { return std::string(to_string(level)); }, "a level becomes another");
  check<Address>(
      text, ReadYaml(),
      [](const Address& address) {
        std::string quoted = "\"";
        for (const char c : address.str()) {
          const auto code = static_cast<unsigned char>(c);
          const bool plain = c != '"' && c != '\\' && code > 0x20 && code != 0x7f;
          quoted += plain ? std::string(1, c) : fmt::format("\\x{:02x}", code);
        }
        return quoted + '"';
      },
      "an address becomes another");
  return 0;
}
