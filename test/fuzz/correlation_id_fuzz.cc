// Correlation ids come with every message, from anybody. The input is two texts: the first byte says where the second
// begins.
#include <snowfox/core/correlation_id.h>

#include <stdexcept>
#include <string>

#include "fuzz.h"

using namespace snowfox;

namespace {

std::optional<CorrelationId> parse(std::string_view text) {
  const auto id = CorrelationId::parse(text);
  const bool fits = !text.empty() && text.size() <= CorrelationId::kMaxBytes;
  demand(id.has_value() == fits, "an id is refused that fits, or the other way round");
  bool thrown = false;
  try {
    demand(CorrelationId(text) == id, "both ways to make an id differ");
  } catch (const std::invalid_argument&) {
    thrown = true;
  }
  demand(thrown == !fits, "both ways to make an id refuse something else");
  if (id) demand(id->text() == text && id->str() == text && !id->empty(), "an id is not spelled as it was given");
  return id;
}

void generate(std::string_view prefix) try {
  CorrelationIdGenerator ids(prefix);
  for (int i = 1; i <= 3; ++i) {
    const std::string expected = std::string(prefix) + "/" + std::to_string(i);
    demand(ids.next() == parse(expected), "a generated id is not what its text says");
  }
} catch (const std::invalid_argument&) {
  demand(prefix.empty() || prefix.size() > 18, "a prefix is refused that fits");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  const std::string_view left = input.bytes(input.byte());
  const std::string_view right = input.rest();
  const auto one = parse(left);
  const auto other = parse(right);
  if (one && other) {
    demand((*one == *other) == (left == right), "ids are equal and their texts are not, or the other way round");
    demand((*one < *other) == (left < right), "ids are ordered otherwise than their texts");
    demand(left != right || one->hash() == other->hash(), "equal ids have different hashes");
  }
  generate(left);
  return 0;
}
