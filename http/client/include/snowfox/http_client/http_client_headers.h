#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace snowfox {

/// The header fields of a request or a response, in their order. Names are the same whatever their case. All text is in
/// one block, so that fifty fields cost two allocations.
class HttpClientHeaders {
 public:
  struct Field {
    std::string_view name;
    std::string_view value;
  };

  HttpClientHeaders() = default;
  HttpClientHeaders(std::initializer_list<Field> fields);

  /// A name may come several times.
  void add(std::string_view name, std::string_view value);
  /// The last field goes on: after a space, if it had a value.
  void continue_last(std::string_view value);
  /// Removes all fields of that name.
  void remove(std::string_view name);
  void clear() noexcept;

  /// The value of the first field of that name; nothing if there is none.
  std::optional<std::string_view> find(std::string_view name) const noexcept;
  bool contains(std::string_view name) const noexcept { return find(name).has_value(); }
  std::size_t size() const noexcept { return places_.size(); }
  bool empty() const noexcept { return places_.empty(); }
  /// The field at `index`, below size(). Valid until the headers are changed.
  Field operator[](std::size_t index) const noexcept;

 private:
  struct Place {
    std::size_t name;
    std::size_t value;  // where it begins, and the name ends
    std::size_t end;
  };
  std::string text_;
  std::vector<Place> places_;
};

/// Whether two names of header fields, or of hosts, are the same: the case of ASCII letters does not count.
bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept;

}  // namespace snowfox
