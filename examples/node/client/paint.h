#pragma once

#include <string>
#include <string_view>

#include "protocol/common.pb.h"

namespace snowfox::node {

/// Puts text in colours, for a terminal that is to have them.
struct Paint {
  bool colours = false;

  std::string key(std::string_view text) const { return in("36", text); }
  std::string text(std::string_view text) const { return in("32", text); }
  std::string number(std::string_view text) const { return in("33", text); }
  std::string faint(std::string_view text) const { return in("2", text); }
  std::string error(std::string_view text) const { return in("31", text); }
  /// What has this status.
  std::string status(Status::Colour colour, std::string_view text) const {
    switch (colour) {
      case Status::Green: return in("32", text);
      case Status::Yellow: return in("33", text);
      case Status::Red: return in("1;31", text);
      default: return in("2", text);
    }
  }

 private:
  std::string in(std::string_view ink, std::string_view text) const {
    if (!colours) return std::string(text);
    return std::string("\x1b[").append(ink).append("m").append(text).append("\x1b[0m");
  }
};

}  // namespace snowfox::node
