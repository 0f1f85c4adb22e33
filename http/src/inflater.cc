#include "inflater.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>

namespace snowfox {
namespace {

constexpr int kGzip = 16 + MAX_WBITS;
constexpr int kZlib = MAX_WBITS;
constexpr int kRaw = -MAX_WBITS;
/// So much is inflated at a time, so that a limit is noticed soon after it is passed.
constexpr std::size_t kStepBytes = 16U << 10;

bool zlib_header(std::string_view front) noexcept {
  const auto first = static_cast<unsigned char>(front[0]);
  const auto second = static_cast<unsigned char>(front[1]);
  return (first & 0x0f) == Z_DEFLATED && (first << 8 | second) % 31 == 0;
}

Refusal broken(const char* why) {
  return {400, std::string("the body is not encoded as Content-Encoding says: ") + why};
}

}  // namespace

Inflater::Inflater() : stream_(std::make_unique<z_stream>()) {
  if (inflateInit2(stream_.get(), kGzip) != Z_OK) throw std::bad_alloc();
}

Inflater::~Inflater() { inflateEnd(stream_.get()); }

void Inflater::begin(RequestFacts::Coding coding, std::uint64_t most) noexcept {
  coding_ = coding;
  state_ = State::Fresh;
  left_ = most_ = most;
  front_bytes_ = 0;
}

void Inflater::start(std::string_view front) noexcept {
  const bool gzip = coding_ == RequestFacts::Coding::Gzip;
  inflateReset2(stream_.get(), gzip ? kGzip : zlib_header(front) ? kZlib : kRaw);
  state_ = State::Inside;
}

Refusal Inflater::inflate(std::string_view in, std::string& out) {
  if (state_ == State::Fresh) {
    while (front_bytes_ != front_.size() && !in.empty()) {
      front_[front_bytes_++] = in.front();
      in.remove_prefix(1);
    }
    if (front_bytes_ != front_.size()) return {};
    const std::string_view front(front_.data(), front_.size());
    start(front);
    if (Refusal refusal = run(front, out)) return refusal;
  }
  return in.empty() ? Refusal() : run(in, out);
}

Refusal Inflater::run(std::string_view in, std::string& out) {
  // zlib reads only; its interface is older than const.
  stream_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  std::size_t unread = in.size();
  for (;;) {
    const auto some = std::min<std::size_t>(unread, std::numeric_limits<uInt>::max());
    stream_->avail_in = static_cast<uInt>(some);
    if (state_ == State::Between) {
      if (unread == 0) return {};
      if (coding_ != RequestFacts::Coding::Gzip) return broken("something follows its end");
      inflateReset(stream_.get());
      state_ = State::Inside;
    }
    const std::size_t before = out.size();
    out.resize(before + kStepBytes);
    stream_->next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream_->avail_out = kStepBytes;
    const int result = ::inflate(stream_.get(), Z_NO_FLUSH);
    const std::size_t made = kStepBytes - stream_->avail_out;
    out.resize(before + made);
    unread -= some - stream_->avail_in;
    if (made > left_) return {413, "the body is longer than " + std::to_string(most_) + " bytes when decoded"};
    left_ -= made;
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result == Z_STREAM_END) {
      state_ = State::Between;
    } else if (result == Z_BUF_ERROR || (result == Z_OK && unread == 0 && stream_->avail_out != 0)) {
      return {};  // all that there is was read
    } else if (result != Z_OK) {
      return broken(stream_->msg != nullptr ? stream_->msg : "a dictionary is wanted");
    }
  }
}

Refusal Inflater::end() {
  const bool empty = state_ == State::Fresh && front_bytes_ == 0;
  return empty || state_ == State::Between ? Refusal() : broken("it ends too early");
}

}  // namespace snowfox
