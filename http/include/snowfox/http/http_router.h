#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace snowfox {

class HttpEvent;
class HttpRequest;

/// What a client is answered instead of what it asked for.
struct HttpDenial {
  int status = 403;
  std::string content_type = {};
  std::string body = {};
};

/// How requests of one route are received.
struct HttpRouteOptions {
  /// Asked when the head is there and the body, perhaps, is not: whoever is denied is answered that, and cannot make
  /// the server hold a body. It may be asked twice about one request, must not keep it, and must not throw.
  std::function<std::optional<HttpDenial>(const HttpRequest&)> deny = {};
  /// A longer body is refused with 413; unset: HttpOptions::max_body_bytes.
  std::optional<std::size_t> max_body_bytes = {};
  /// The same of what comes out of a Content-Encoding; unset: HttpOptions::max_decoded_bytes.
  std::optional<std::size_t> max_decoded_bytes = {};
  /// The handler is called when the head is there, and takes the body in pieces: HttpEvent::receive_body.
  bool stream = false;
  /// Content-Encoding gzip and deflate are undone; any other is refused with 415. False: the body is left as it is.
  bool decode = true;
  /// The path may end in any number of slashes, or none. False: as the pattern is written.
  bool any_trailing_slashes = false;
};

/// What is done about one method at one path.
struct HttpRoute {
  std::string method;
  std::function<void(HttpEvent&)> handler;
  HttpRouteOptions options;
};

/// Finds who handles a request: by method and path.
///
/// A pattern is a path whose segments are texts, percent-decoded, or `{name}` for one segment that is not empty, `.` or
/// `..`; `{name:digits}` for one of decimal digits; or, at the end, `{name*}` for all that is left, slashes included
/// and as it was sent. A path without parameters wins over one with, however it is escaped; else the first that was
/// added.
class HttpRouter {
 public:
  using Handler = std::function<void(HttpEvent&)>;

  /// Throws std::invalid_argument if `pattern` does not begin with a slash or is not as above, or has this method
  /// already.
  void add(std::string_view method, std::string_view pattern, Handler handler, const HttpRouteOptions& options = {});
  /// For whatever has no route, any method and path: instead of 404 and 405.
  void otherwise(Handler handler, const HttpRouteOptions& options = {});

  /// What is found for a request: a route, or the methods that its path has (none: the path is unknown).
  struct Match {
    const HttpRoute* route = nullptr;
    bool bad_path = false;  ///< it has a percent escape that is none
    std::string allowed;    ///< as in `Allow`; made only without a route
  };
  /// Also tells the request its parameters. HEAD is served by the route for GET if it has none of its own.
  Match find(HttpRequest& request);

 private:
  struct Segment {
    enum class Kind { Text, Parameter, Digits, Rest };
    Kind kind;
    std::string text;  // or its name
  };
  struct Path {
    std::string pattern;
    std::vector<Segment> segments;
    bool any_trailing_slashes = false;
    std::vector<std::unique_ptr<HttpRoute>> routes;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
  };

  static Path compiled(std::string_view pattern);
  bool matches(const Path& path) const noexcept;
  static const HttpRoute* route_for(const Path& path, std::string_view method) noexcept;
  static std::string allowed(const std::vector<const Path*>& paths);
  void note(const Path& path, HttpRequest& request) const;
  bool take_apart(std::string_view path);

  std::vector<std::unique_ptr<Path>> paths_;                                   // those without parameters first
  std::size_t text_paths_ = 0;                                                 // so many
  std::unordered_map<std::string, const Path*, Hash, std::equal_to<>> texts_;  // those without parameters, exact
  std::unique_ptr<HttpRoute> otherwise_;
  // Of the path that is being looked for: memory that is used again.
  std::vector<std::string_view> segments_;
  std::vector<std::string> decoded_;  // where a segment has escapes
};

}  // namespace snowfox
