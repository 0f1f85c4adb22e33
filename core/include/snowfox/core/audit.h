#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

namespace snowfox {

/// Takes down what is wrong with the books that a program keeps of itself. Made by LoopManager::audit(), for tests,
/// simulations and whoever suspects something; parts of a program add to it by Lifecycle::audit.
class Audit {
 public:
  void expect(bool holds, std::string_view otherwise) {
    if (!holds) findings_.emplace_back(otherwise);
  }
  /// `otherwise` makes the text, only if it is needed.
  template <std::invocable F>
  void expect(bool holds, F&& otherwise) {
    if (!holds) findings_.push_back(otherwise());
  }
  /// What must hold and does not; empty if all is well.
  const std::vector<std::string>& findings() const noexcept { return findings_; }

 private:
  std::vector<std::string> findings_;
};

}  // namespace snowfox
