#include <snowfox/http/http_protocol.h>

#include <array>
#include <cassert>
#include <utility>

#include <snowfox/http/http_drain.h>
#include <snowfox/http/http_source.h>

#include "inflater.h"
#include "json_text.h"

namespace snowfox {
namespace {

/// So many objects wait to be used again.
constexpr std::size_t kSpareRequests = 256;

}  // namespace

HttpProtocol::HttpProtocol(HttpOptions limits) : options(std::move(limits)) { spare_requests_.reserve(kSpareRequests); }

HttpProtocol::~HttpProtocol() {
  while (!members_.empty()) members_.pop_front().drain.forget_protocol();
}

void GiveBackRequest::operator()(HttpRequest* request) const noexcept {
  std::unique_ptr<HttpRequest> owned(request);
  owned->clear();
  if (protocol->spare_requests_.size() < kSpareRequests) protocol->spare_requests_.push_back(std::move(owned));
}

HttpRequestRef HttpProtocol::take_request() {
  if (spare_requests_.empty()) return {new HttpRequest, GiveBackRequest{this}};
  HttpRequestRef request(spare_requests_.back().release(), GiveBackRequest{this});
  spare_requests_.pop_back();
  return request;
}

Inflater& HttpProtocol::inflater() {
  if (!inflater_) inflater_ = std::make_unique<Inflater>();
  return *inflater_;
}

std::string_view HttpProtocol::date_line(std::chrono::system_clock::time_point time) {
  const std::time_t now = std::chrono::system_clock::to_time_t(time);
  if (now == date_second_) return date_line_;
  // Names as in RFC 9110, whatever the locale.
  constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                                 kDays[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                                 kMonths[static_cast<std::size_t>(utc.tm_mon)], 1900 + utc.tm_year, utc.tm_hour,
                                 utc.tm_min, utc.tm_sec);
  date_line_.assign(text.data(), static_cast<std::size_t>(size));
  date_second_ = now;
  return date_line_;
}

HttpErrorBody HttpProtocol::make_error_body(int status, std::string_view reason) const {
  if (error_body) return error_body(status, reason);
  return {"application/json", R"({"error":)" + json_text(reason) + "}"};
}

void HttpProtocol::joined(Member& member) noexcept {
  members_.push_back(member);
  ++counters_.connections;
  ++counters_.accepted;
}

void HttpProtocol::left(Member& member) noexcept {
  member.unlink();
  --counters_.connections;
  if (members_.empty() && done_) std::exchange(done_, nullptr)();
}

void HttpProtocol::finish(std::function<void()> done) {
  finishing_ = true;
  done_ = std::move(done);
  if (members_.empty()) {
    if (done_) std::exchange(done_, nullptr)();
    return;
  }
  for (Member* member = &members_.front(); member != nullptr; member = members_.after(*member)) {
    if (HttpSource* source = member->drain.source()) source->end_when_idle();
  }
}

}  // namespace snowfox
