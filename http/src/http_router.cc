#include <snowfox/http/http_router.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <snowfox/http/http_request.h>

namespace snowfox {
namespace {

[[noreturn]] void bad_pattern(std::string_view pattern, std::string_view why) {
  throw std::invalid_argument("route " + std::string(pattern) + ": " + std::string(why));
}

/// The texts between the slashes of `path`, which begins with one.
void split(std::string_view path, std::vector<std::string_view>& segments) {
  segments.clear();
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view segment = path.substr(0, path.find('/'));
    segments.push_back(segment);
    path.remove_prefix(segment.size());
  }
}

bool digits(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

HttpRouter::Path HttpRouter::compiled(std::string_view pattern) {
  if (!pattern.starts_with('/')) bad_pattern(pattern, "does not begin with a slash");
  Path path;
  path.pattern = pattern;
  std::vector<std::string_view> segments;
  split(pattern, segments);
  for (std::string_view segment : segments) {
    if (!path.segments.empty() && path.segments.back().kind == Segment::Kind::Rest) {
      bad_pattern(pattern, "{name*} is not its end");
    }
    const bool parameter = segment.size() > 2 && segment.starts_with('{') && segment.ends_with('}');
    if (!parameter && segment.find_first_of("{}?#%") != std::string_view::npos) {
      bad_pattern(pattern, "a segment is a text without any of {}?#%, or {name}, {name:digits} or {name*}");
    }
    if (!parameter) {
      path.segments.push_back({Segment::Kind::Text, std::string(segment)});
      continue;
    }
    segment = segment.substr(1, segment.size() - 2);
    Segment::Kind kind = Segment::Kind::Parameter;
    constexpr std::string_view kDigits = ":digits";
    if (segment.ends_with(kDigits)) {
      kind = Segment::Kind::Digits;
      segment.remove_suffix(kDigits.size());
    } else if (segment.ends_with('*')) {
      kind = Segment::Kind::Rest;
      segment.remove_suffix(1);
    }
    if (segment.empty() || segment.find_first_of("{}:*") != std::string_view::npos) {
      bad_pattern(pattern, "a parameter's name is missing, or what follows it is neither :digits nor *");
    }
    path.segments.push_back({kind, std::string(segment)});
  }
  return path;
}

void HttpRouter::add(std::string_view method, std::string_view pattern, Handler handler,
                     const HttpRouteOptions& options) {
  auto path = std::make_unique<Path>(compiled(pattern));
  path->any_trailing_slashes = options.any_trailing_slashes;
  const auto same = std::find_if(paths_.begin(), paths_.end(), [&](const auto& other) {
    return other->pattern == pattern && other->any_trailing_slashes == options.any_trailing_slashes;
  });
  Path& place = same != paths_.end() ? **same : *path;
  const bool taken =
      std::any_of(place.routes.begin(), place.routes.end(), [&](const auto& route) { return route->method == method; });
  if (taken) bad_pattern(pattern, "has a handler for " + std::string(method) + " already");
  place.routes.push_back(std::make_unique<HttpRoute>(HttpRoute{std::string(method), std::move(handler), options}));
  if (same != paths_.end()) return;
  const bool text = std::all_of(place.segments.begin(), place.segments.end(),
                                [](const Segment& segment) { return segment.kind == Segment::Kind::Text; });
  if (!text) {
    paths_.push_back(std::move(path));
    return;
  }
  paths_.insert(paths_.begin() + static_cast<std::ptrdiff_t>(text_paths_), std::move(path));
  ++text_paths_;
  texts_.emplace(std::string(pattern), &place);
}

void HttpRouter::otherwise(Handler handler, const HttpRouteOptions& options) {
  otherwise_ = std::make_unique<HttpRoute>(HttpRoute{"any", std::move(handler), options});
}

const HttpRoute* HttpRouter::route_for(const Path& path, std::string_view method) noexcept {
  const HttpRoute* found = nullptr;
  for (const auto& route : path.routes) {
    if (route->method == method) return route.get();
    if (method == "HEAD" && route->method == "GET") found = route.get();
  }
  return found;
}

// False if an escape is none.
bool HttpRouter::take_apart(std::string_view path) {
  split(path, segments_);
  for (std::string& text : decoded_) text.clear();
  if (path.find('%') == std::string_view::npos) return true;
  decoded_.resize(std::max(decoded_.size(), segments_.size()));
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].find('%') == std::string_view::npos) continue;
    auto text = percent_decoded(segments_[i]);
    if (!text) return false;
    decoded_[i] = *std::move(text);
  }
  return true;
}

bool HttpRouter::matches(const Path& path) const noexcept {
  std::size_t given = segments_.size();
  std::size_t wanted = path.segments.size();
  if (path.any_trailing_slashes) {
    while (given > 1 && segments_[given - 1].empty()) --given;
    while (wanted > 1 && path.segments[wanted - 1].text.empty()) --wanted;
  }
  for (std::size_t i = 0; i < wanted; ++i) {
    const Segment& segment = path.segments[i];
    if (segment.kind == Segment::Kind::Rest) return i < segments_.size();
    if (i >= given) return false;
    const std::string_view text =
        i < decoded_.size() && !decoded_[i].empty() ? std::string_view(decoded_[i]) : segments_[i];
    if (segment.kind == Segment::Kind::Text) {
      if (text != segment.text) return false;
    } else if (text.empty() || text == "." || text == ".." ||
               (segment.kind == Segment::Kind::Digits && !digits(text))) {
      return false;
    }
  }
  return given == wanted;
}

void HttpRouter::note(const Path& path, HttpRequest& request) const {
  for (std::size_t i = 0; i < path.segments.size(); ++i) {
    const Segment& segment = path.segments[i];
    if (segment.kind == Segment::Kind::Text) continue;
    if (segment.kind == Segment::Kind::Rest) {
      const std::string_view whole = request.path();
      const auto begin = static_cast<std::size_t>(segments_[i].data() - whole.data());
      request.parameters_.push_back({segment.text, request.part_of(whole.substr(begin)), false});
    } else if (i < decoded_.size() && !decoded_[i].empty()) {
      const auto begin = static_cast<std::uint32_t>(request.decoded_parameters_.size());
      request.decoded_parameters_ += decoded_[i];
      request.parameters_.push_back({segment.text, {begin, static_cast<std::uint32_t>(decoded_[i].size())}, true});
    } else {
      request.parameters_.push_back({segment.text, request.part_of(segments_[i]), false});
    }
  }
}

std::string HttpRouter::allowed(const std::vector<const Path*>& paths) {
  std::string methods;
  for (const Path* path : paths) {
    for (const auto& route : path->routes) {
      if (!methods.empty()) methods += ", ";
      methods += route->method;
      if (route->method == "GET" && route_for(*path, "HEAD") == route.get()) methods += ", HEAD";
    }
  }
  return methods;
}

HttpRouter::Match HttpRouter::find(HttpRequest& request) {
  const std::string_view path = request.path();
  const std::string_view method = request.method();
  Match match;
  if (const auto text = texts_.find(path); text != texts_.end()) match.route = route_for(*text->second, method);
  if (match.route != nullptr) return match;

  std::vector<const Path*> others;  // that have the path, but not the method
  if (path.starts_with('/') && !paths_.empty()) {
    match.bad_path = !take_apart(path);
    if (match.bad_path) return match;
    for (const auto& candidate : paths_) {
      if (!matches(*candidate)) continue;
      match.route = route_for(*candidate, method);
      if (match.route != nullptr) {
        note(*candidate, request);
        return match;
      }
      others.push_back(candidate.get());
    }
  }
  match.route = otherwise_.get();
  if (match.route == nullptr) match.allowed = allowed(others);
  return match;
}

}  // namespace snowfox
