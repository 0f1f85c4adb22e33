#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/core/buffer.h>

namespace snowfox {

/// A header field. It borrows both texts.
struct HttpField {
  std::string_view name;
  std::string_view value;
};

/// Some header fields, borrowed: for arguments, as `{{"Retry-After", "3"}}` or a vector.
class HttpFields {
 public:
  HttpFields() = default;
  HttpFields(std::initializer_list<HttpField> fields) : HttpFields(std::span(fields.begin(), fields.size())) {}
  HttpFields(std::span<const HttpField> fields) : fields_(fields) {}
  HttpFields(const std::vector<HttpField>& fields) : fields_(fields) {}
  auto begin() const noexcept { return fields_.begin(); }
  auto end() const noexcept { return fields_.end(); }

 private:
  std::span<const HttpField> fields_;
};

/// Whether two names of fields, or tokens, are the same: case does not matter.
bool same_token(std::string_view left, std::string_view right) noexcept;
/// `text` with its percent escapes resolved, and if `plus_is_space` each `+` a space; nothing if an escape is none.
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space = false);

/// A request, looked at where it was received: nothing is copied as long as it is handled at once. All views are valid
/// as long as the request is where it is.
///
/// Paths, as in RFC 3986: what comes up to the `?` is split at its slashes, then each part is percent-decoded. So `%2F`
/// is part of a segment, and a `+` in a path is a plus.
class HttpRequest {
 public:
  HttpRequest() = default;
  HttpRequest(const HttpRequest&) = delete;
  HttpRequest& operator=(const HttpRequest&) = delete;

  /// As sent: methods are case-sensitive.
  std::string_view method() const noexcept { return text(method_); }
  /// As sent: `/path?query`, `http://host/path?query` or `*`.
  std::string_view target() const noexcept { return text(target_); }
  /// The target's path, as sent, or `*`; `/` if there is none.
  std::string_view path() const noexcept { return path_.size == 0 ? std::string_view("/") : text(path_); }
  /// What follows its `?`, as sent.
  std::string_view query() const noexcept { return text(query_); }
  /// The host and port that are asked: the target's, else the field's; empty if neither is there (HTTP/1.0).
  std::string_view host() const noexcept { return text(host_); }
  /// 0 of HTTP/1.0, 1 of HTTP/1.1.
  unsigned minor_version() const noexcept { return minor_version_; }

  /// The value of the first field of this name, without the space around it.
  std::optional<std::string_view> field(std::string_view name) const noexcept;
  std::size_t field_count() const noexcept { return fields_.size(); }
  /// In the order in which they came.
  HttpField field(std::size_t index) const noexcept { return {text(fields_[index].name), text(fields_[index].value)}; }

  /// All of the body, decoded if it was to be; empty where it is streamed instead.
  std::string_view body() const noexcept {
    return body_is_own_ ? std::string_view(own_body_) : text({head_bytes_, in_place_body_bytes_});
  }
  /// body() is what came out of the `Content-Encoding`.
  bool decoded() const noexcept { return decoded_; }

  /// What stands for `{name}` of the route's pattern, percent-decoded.
  std::optional<std::string_view> parameter(std::string_view name) const noexcept;
  /// The first value in the query called `name`, decoded, a `+` being a space; empty for one without `=`. Escapes that
  /// are none stand for themselves.
  std::optional<std::string> query_value(std::string_view name) const;

  /// There was no memory to keep it when its buffer went: all texts are empty.
  bool lost() const noexcept { return received_.lost(); }

  // --- for the source ---

  struct Part {
    std::uint32_t begin = 0;
    std::uint32_t size = 0;
  };
  /// Becomes the request whose head, and what else is needed of it, are the `bytes` in `buffer`; of which it knows
  /// nothing yet.
  void borrow(ReceiveBuffer& buffer, std::span<const std::byte> bytes) noexcept;
  void clear() noexcept;

 private:
  friend class RequestParser;
  friend class HttpRouter;
  friend class HttpSource;

  struct FieldParts {
    Part name;
    Part value;
  };
  struct Parameter {
    std::string_view name;  // the route's
    Part value;             // of the request; if `decoded`, of decoded_parameters_
    bool decoded;
  };

  std::string_view text(Part part) const noexcept {
    const auto bytes = received_.bytes();
    if (bytes.empty()) return {};
    return {reinterpret_cast<const char*>(bytes.data()) + part.begin, part.size};
  }
  Part part_of(std::string_view text) const noexcept {
    return {static_cast<std::uint32_t>(text.data() - reinterpret_cast<const char*>(received_.bytes().data())),
            static_cast<std::uint32_t>(text.size())};
  }

  BorrowedBytes received_;
  std::vector<FieldParts> fields_;
  std::vector<Parameter> parameters_;
  std::string decoded_parameters_;
  std::string own_body_;
  Part method_;
  Part target_;
  Part path_;
  Part query_;
  Part host_;
  std::uint32_t head_bytes_ = 0;
  std::uint32_t in_place_body_bytes_ = 0;
  std::uint8_t minor_version_ = 1;
  bool body_is_own_ = false;
  bool decoded_ = false;
};

}  // namespace snowfox
