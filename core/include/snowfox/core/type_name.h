#pragma once

#include <string_view>
#include <typeinfo>

namespace snowfox {

/// The readable name of a type, `snowfox::Event`; found once for each type and kept for the life of the thread.
std::string_view type_name(const std::type_info& type) noexcept;

}  // namespace snowfox
