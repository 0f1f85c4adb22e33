#include <snowfox/core/type_name.h>

#include <cxxabi.h>

#include <array>
#include <cstdlib>

namespace snowfox {
namespace {

/// Filled from the front; a program that names more types than it holds gets the others as the compiler spells them.
struct Names {
  struct Name {
    const std::type_info* type = nullptr;
    char* text = nullptr;
  };
  std::array<Name, 256> all{};

  ~Names() {
    for (const Name& name : all) std::free(name.text);
  }
};

}  // namespace

std::string_view type_name(const std::type_info& type) noexcept {
  thread_local Names names;
  for (Names::Name& name : names.all) {
    if (name.type == nullptr) {
      char* text = abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr);
      if (text == nullptr) break;
      name = {&type, text};
    }
    if (*name.type == type) return name.text;
  }
  return type.name();
}

}  // namespace snowfox
