#include <snowfox/context/yaml_value.h>

#include <fmt/format.h>

#include <limits>
#include <new>

#include <snowfox/context/configuration_error.h>
#include <snowfox/context/yaml_mapping.h>
#include <snowfox/core/error.h>

#include "yaml_document.h"
#include "yaml_problems.h"
#include "yaml_scalar.h"

namespace snowfox {
namespace {

/// `an integer from 1 to 65535`, without a bound that is none.
template <typename T>
std::string with_bounds(std::string_view what, T low, T high, bool lowest, bool highest) {
  if (lowest && highest) return std::string(what);
  if (highest) return fmt::format("{} of at least {}", what, low);
  if (lowest) return fmt::format("{} of at most {}", what, high);
  return fmt::format("{} from {} to {}", what, low, high);
}

std::string integer_text(YamlValue::Integer integer) {
  return fmt::format("{}{}", integer.negative ? "-" : "", integer.magnitude);
}

}  // namespace

YamlValue::Kind YamlValue::kind() const noexcept { return node_ == nullptr ? Kind::Missing : node_->kind; }
std::string_view YamlValue::text() const noexcept { return node_ == nullptr ? std::string_view() : node_->text; }
bool YamlValue::quoted() const noexcept { return node_ != nullptr && node_->quoted; }
std::size_t YamlValue::size() const noexcept { return node_ == nullptr ? 0 : node_->entries.size(); }
std::string_view YamlValue::key(std::size_t index) const noexcept { return node_->entries[index].key->text; }
YamlValue YamlValue::element(std::size_t index) const noexcept {
  return {*this, node_->entries[index].value, {}, index};
}
YamlValue YamlValue::entry(std::size_t index) const noexcept {
  return {*this, node_->entries[index].value, key(index), index};
}

YamlValue YamlValue::as_secret() const noexcept {
  YamlValue secret = *this;
  secret.secret_ = true;
  return secret;
}

// A value that is missing has the place of what it is missing from.
ConfigurationPlace YamlValue::place() const {
  const YamlValue* there = this;
  while (there->node_ == nullptr && there->whole_ != nullptr) there = there->whole_;
  return problems_.place(there->node_ == nullptr ? YamlMark() : there->node_->mark, path());
}

std::string YamlValue::path() const {
  if (whole_ == nullptr) return {};
  std::string path = whole_->path();
  if (whole_->kind() == Kind::List) {
    append_yaml_index(path, index_);
  } else {
    append_yaml_key(path, key_);
  }
  return path;
}

std::string YamlValue::found() const {
  switch (kind()) {
    case Kind::Missing: return "no such key";
    case Kind::Null: return "nothing";
    case Kind::List: return "a list";
    case Kind::Mapping: return "a mapping";
    case Kind::Scalar: break;
  }
  if (secret_) return "something else, which is secret";
  return quote_yaml(text()) + (quoted() ? " in quotes" : "");
}

void YamlValue::expected(std::string_view what) const {
  if (kind() == Kind::Missing) {
    refuse(fmt::format("missing, expected {}", what));
  } else {
    problems_.add(node_->mark, path(), fmt::format("expected {}, found {}", what, found()));
  }
}

void YamlValue::refuse(std::string_view message) const {
  const YamlValue* there = this;
  while (there->node_ == nullptr && there->whole_ != nullptr) there = there->whole_;
  const bool hidden = secret_ && kind() != Kind::Missing;
  problems_.add(there->node_ == nullptr ? YamlMark() : there->node_->mark, path(),
                hidden ? "not valid, and secret" : std::string(message));
}

void YamlValue::refuse(const std::exception_ptr& error) const {
  try {
    std::rethrow_exception(error);
  } catch (const ConfigurationError& others) {
    // Of a file that this value names.
    for (const ConfigurationProblem& problem : others.problems())
      problems_.add(node_ ? node_->mark : YamlMark(), problem);
    problems_.omit(others.omitted());
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const CleanExit&) {
    throw;
  } catch (const AbortError&) {
    throw;
  } catch (const std::exception& failure) {
    refuse(failure.what());
  }
}

std::size_t YamlValue::problem_count() const noexcept { return problems_.size(); }

std::optional<std::string_view> YamlValue::scalar(std::string_view what) const {
  if (kind() == Kind::Scalar) return text();
  expected(what);
  return std::nullopt;
}

std::optional<bool> YamlValue::boolean() const {
  const auto read = kind() == Kind::Scalar && !quoted() ? boolean_of(text()) : std::nullopt;
  if (!read) expected("true or false");
  return read;
}

std::optional<YamlValue::Integer> YamlValue::integer(Integer low, Integer high) const {
  const auto read = kind() == Kind::Scalar && !quoted() ? integer_of(text()) : std::nullopt;
  if (read && !(*read < low) && !(high < *read)) return read;
  using Signed = std::numeric_limits<std::int64_t>;
  const bool no_low = low == Integer::of(Signed::min());
  const bool no_high =
      high == Integer::of(Signed::max()) || high == Integer::of(std::numeric_limits<std::uint64_t>::max());
  expected(with_bounds("an integer", integer_text(low), integer_text(high), no_low, no_high));
  return std::nullopt;
}

std::optional<double> YamlValue::number(double low, double high) const {
  const auto read = kind() == Kind::Scalar && !quoted() ? number_of(text()) : std::nullopt;
  if (read && *read >= low && *read <= high) return read;
  expected(with_bounds("a number", low, high, low == std::numeric_limits<double>::lowest(),
                       high == std::numeric_limits<double>::max()));
  return std::nullopt;
}

std::optional<Duration> YamlValue::duration(Duration low, Duration high, Duration unit) const {
  const auto read = kind() == Kind::Scalar ? duration_of(text()) : std::nullopt;
  if (!read) {
    expected("a duration such as 30s, 500ms or 2m");
  } else if (*read < low || *read > high) {
    expected(with_bounds("a duration", duration_text(low), duration_text(high), low <= Duration::zero(),
                         high == Duration::max()));
  } else if (*read % unit != Duration::zero()) {
    expected("a duration in multiples of " + duration_text(unit));
  } else {
    return read;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> YamlValue::bytes(std::uint64_t low, std::uint64_t high) const {
  const auto read = kind() == Kind::Scalar ? bytes_of(text()) : std::nullopt;
  if (!read) {
    expected("a size such as 4MiB, 256KB or a number of bytes");
  } else if (*read < low || *read > high) {
    expected(with_bounds("a size", bytes_text(low), bytes_text(high), low == 0,
                         high >= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())));
  } else {
    return read;
  }
  return std::nullopt;
}

std::optional<unsigned> YamlValue::permissions() const {
  const auto read = kind() == Kind::Scalar ? octal_of(text()) : std::nullopt;
  if (read && *read <= 0777) return read;
  expected("permissions in octal, such as 0660");
  return std::nullopt;
}

bool YamlValue::list() const {
  if (kind() == Kind::List || kind() == Kind::Null) return true;
  expected("a list");
  return false;
}

void YamlValue::mapping(const std::function<void(YamlMapping&)>& function) const {
  if (kind() != Kind::Mapping && kind() != Kind::Null) return expected("a mapping");
  YamlMapping mapping(*this);
  function(mapping);
  mapping.refuse_unknown_keys();
}

}  // namespace snowfox
