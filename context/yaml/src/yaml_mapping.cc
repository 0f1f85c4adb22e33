#include <snowfox/context/yaml_mapping.h>

#include <algorithm>

#include "yaml_document.h"
#include "yaml_problems.h"
#include "yaml_scalar.h"

namespace snowfox {
namespace {

/// Longer keys are not compared with those that are known: no slip of the pen makes one of the other.
constexpr std::size_t kMaxCompared = 64;

/// The one of `known` that `key` may be a slip of the pen for; empty if there is none.
std::string_view nearest(std::string_view key, const std::vector<std::string_view>& known) {
  std::string_view best;
  if (key.size() > kMaxCompared) return best;
  std::size_t least = std::max<std::size_t>(1, key.size() / 3) + 1;
  for (const std::string_view candidate : known) {
    if (candidate.size() > kMaxCompared) continue;
    const std::size_t distance = spelling_distance(key, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

std::string list_of(std::vector<std::string_view> known) {
  std::sort(known.begin(), known.end());
  std::string all;
  for (const std::string_view key : known) all.append(all.empty() ? "" : ", ").append(key);
  return all;
}

}  // namespace

YamlValue YamlMapping::find(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.push_back(key);
  const YamlNode* found = nullptr;
  std::size_t index = 0;
  for (std::size_t i = 0; i < value_.size(); ++i) {
    if (value_.key(i) != key) continue;
    asked_[i] = true;
    // Of several the first counts; the others have been told as duplicates.
    if (found == nullptr) {
      found = value_.node_->entries[i].value;
      index = i;
    }
  }
  return {value_, found, key, index};
}

void YamlMapping::refuse(const ConfigurationPlace& place, std::string_view message) {
  value_.problems_.add(value_.problems_.mark(place), {place, std::string(message)});
}

void YamlMapping::refuse_unknown_keys() const {
  if (value_.problems_.ignore_unknown_keys()) return;
  for (std::size_t i = 0; i < value_.size(); ++i) {
    if (asked_[i]) continue;
    if (value_.problems_.full()) {
      value_.problems_.omit(1);
      continue;
    }
    const std::string_view close = nearest(value_.key(i), known_);
    std::string path = value_.path();
    append_yaml_key(path, value_.key(i));
    std::string message = "unknown key";
    if (!close.empty()) {
      message.append("; did you mean ").append(close).append("?");
    } else if (!known_.empty()) {
      message.append("; known here: ").append(list_of(known_));
    }
    value_.problems_.add(value_.node_->entries[i].key->mark, std::move(path), std::move(message));
  }
}

}  // namespace snowfox
