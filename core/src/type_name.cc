#include <snowfox/core/type_name.h>

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <typeindex>
#include <unordered_map>

namespace snowfox {

std::string_view type_name(const std::type_info& type) noexcept try {
  // Bounded by the number of types in the program.
  thread_local std::unordered_map<std::type_index, std::string> names;
  auto [place, is_new] = names.try_emplace(type);
  if (is_new) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> readable(
        abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
    place->second = status == 0 ? readable.get() : type.name();
  }
  return place->second;
} catch (...) {
  return type.name();
}

}  // namespace snowfox
