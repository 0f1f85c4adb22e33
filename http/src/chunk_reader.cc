#include "chunk_reader.h"

#include <algorithm>
#include <cstring>

#include "token.h"

namespace snowfox {
namespace {

/// So many surely fit, and do not overflow when one more is added.
constexpr unsigned kMostDigits = 15;

}  // namespace

Refusal ChunkReader::too_long() const { return {413, "the body is longer than " + std::to_string(most_) + " bytes"}; }

std::size_t ChunkReader::read(std::string_view bytes, std::string& body, Refusal& refusal) {
  std::size_t at = 0;
  while (at != bytes.size() && !done()) {
    if (state_ == State::Data) {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size() - at));
      body.append(bytes, at, part);
      at += part;
      left_ -= part;
      received_ += part;
      if (left_ == 0) state_ = State::DataCr;
      continue;
    }
    const char* const wrong = take(bytes[at++], refusal);
    if (wrong != nullptr) {
      refusal = {400,
                 "the body is not chunked as it should be, after " + std::to_string(received_) + " bytes: " + wrong};
    }
    if (refusal) return at;
  }
  return at;
}

const char* ChunkReader::expect(char c, char wanted, State then) noexcept {
  if (c != wanted) return wanted == '\n' ? "CR without LF" : "a chunk does not end in CRLF";
  state_ = then;
  return nullptr;
}

const char* ChunkReader::take(char c, Refusal& refusal) {
  switch (state_) {
    case State::Size: return take_size(c, refusal);
    case State::ExtensionName:
    case State::ExtensionValue:
    case State::ExtensionQuoted:
    case State::ExtensionEnd: return take_extension(c);
    case State::SizeEnd: {
      const State then = left_ == 0 ? State::TrailerBegin : State::Data;
      digits_ = 0;
      return expect(c, '\n', then);
    }
    case State::DataCr: return expect(c, '\r', State::DataEnd);
    case State::DataEnd: return expect(c, '\n', State::Size);
    case State::TrailerBegin:
    case State::TrailerName:
    case State::TrailerValue: return take_trailer(c, refusal);
    case State::TrailerEnd: return expect(c, '\n', State::TrailerBegin);
    case State::End: return expect(c, '\n', State::Done);
    case State::Data:
    case State::Done: break;
  }
  return "";
}

const char* ChunkReader::take_size(char c, Refusal& refusal) {
  if (const int digit = hexadecimal_digit(c); digit >= 0) {
    if (digits_ == kMostDigits) return "the size of a chunk has too many digits";
    ++digits_;
    left_ = left_ << 4 | static_cast<unsigned>(digit);
    return nullptr;
  }
  if (digits_ == 0 || (c != '\r' && c != ';')) return "the size of a chunk is no hexadecimal number";
  if (left_ > most_ - received_) {
    refusal = too_long();
    return nullptr;
  }
  extensions_ = 0;
  begun_ = false;
  state_ = c == '\r' ? State::SizeEnd : State::ExtensionName;
  return nullptr;
}

// `;name`, `;name=value` or `;name="value"`, any number of them.
const char* ChunkReader::take_extension(char c) noexcept {
  const bool quoted = state_ == State::ExtensionQuoted;
  const bool whole = state_ == State::ExtensionEnd || (begun_ && !quoted);
  if (c == '\r' && whole) {
    state_ = State::SizeEnd;
    return nullptr;
  }
  if (++extensions_ > kLongestExtensions) return "chunk extensions longer than 256 bytes";
  if (control_character(c)) return "a chunk extension has a control character";
  if (quoted) {
    if (!escaped_ && c == '"') state_ = State::ExtensionEnd;
    escaped_ = !escaped_ && c == '\\';
  } else if (c == ';' && whole) {
    state_ = State::ExtensionName;
    begun_ = false;
  } else if (c == '=' && begun_ && state_ == State::ExtensionName) {
    state_ = State::ExtensionValue;
    begun_ = false;
  } else if (c == '"' && !begun_ && state_ == State::ExtensionValue) {
    state_ = State::ExtensionQuoted;
    escaped_ = false;
  } else if (token_character(c) && state_ != State::ExtensionEnd) {
    begun_ = true;
  } else {
    return "a chunk extension is neither name nor name=value";
  }
  return nullptr;
}

const char* ChunkReader::take_trailer(char c, Refusal& refusal) {
  if (trailer_left_ == 0) {
    refusal = {431, "the trailer is too long"};
    return nullptr;
  }
  --trailer_left_;
  if (state_ == State::TrailerValue) {
    if (c == '\r') {
      state_ = State::TrailerEnd;
    } else if (control_character(c)) {
      return "the trailer has a control character";
    }
    return nullptr;
  }
  if (state_ == State::TrailerBegin && c == '\r') {
    state_ = State::End;
  } else if (state_ == State::TrailerName && c == ':') {
    state_ = State::TrailerValue;
  } else if (token_character(c)) {
    state_ = State::TrailerName;
  } else {
    return "a line of the trailer is no field";
  }
  return nullptr;
}

}  // namespace snowfox
