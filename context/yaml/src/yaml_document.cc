#include "yaml_document.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cctype>
#include <istream>
#include <map>
#include <new>
#include <optional>
#include <streambuf>
#include <unordered_map>

namespace snowfox {
namespace {

using Kind = YamlValue::Kind;

/// yaml-cpp keeps some 250 bytes for each of these until the outermost one is closed.
constexpr std::size_t kMaxFlowMarks = 1'000'000;
constexpr std::size_t kMaxQuotedBytes = 60;

/// Why a text is no document at all.
struct NotYaml {
  YamlMark mark;
  std::string message;
};

/// Lets yaml-cpp read from where the text is.
class TextBuffer : public std::streambuf {
 public:
  explicit TextBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // a streambuf that is only read from
    setg(begin, begin, begin + text.size());
  }
};

/// The length of the UTF-8 character at the beginning of `text`, which is not empty; 0 if it is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xc2 ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool no_character = (lead == 0xed && byte(1) >= 0xa0) || (lead == 0xf4 && byte(1) >= 0x90);
  return overlong || no_character ? 0 : length;
}

/// What yaml-cpp would take amiss without saying so: it reads bytes that are no characters, ends at an U+0004, and
/// keeps all of a bracket's content until that is closed.
void check_characters(std::string_view text, std::uint32_t file) {
  YamlMark mark{file, 1, 1};
  std::size_t flow_marks = 0;
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    const std::size_t length = utf8_length(text);
    if (length == 0) throw NotYaml{mark, "not UTF-8 text"};
    if ((c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7f) {
      throw NotYaml{mark, fmt::format("control character U+{:04X}", c)};
    }
    if (std::string_view("[]{},").find(text.front()) != std::string_view::npos && ++flow_marks > kMaxFlowMarks) {
      throw NotYaml{mark, fmt::format("more than {} brackets, braces and commas", kMaxFlowMarks)};
    }
    text.remove_prefix(length);
    if (c == '\n') {
      ++mark.line;
      mark.column = 1;
    } else {
      ++mark.column;
    }
  }
}

/// Makes nodes of what yaml-cpp comes upon.
class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view text, std::uint32_t file, YamlDocument& document, YamlProblems& problems)
      : text_(text), file_(file), document_(document), problems_(problems) {}

  const YamlNode* root() const noexcept { return root_; }
  /// The way to what is being read now, or to what was read last if that is in the same line.
  std::string path(std::uint32_t line = 0) const;
  YamlMark mark(const YAML::Mark& at) const;

  void OnDocumentStart(const YAML::Mark& at) override {
    if (begun_) throw NotYaml{mark(at), "a second document begins here: a file holds one"};
    begun_ = true;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& at, YAML::anchor_t anchor) override { remember(anchor, add_null(at)); }
  void OnAlias(const YAML::Mark& at, YAML::anchor_t anchor) override;
  void OnScalar(const YAML::Mark& at, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override;
  void OnSequenceStart(const YAML::Mark& at, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(at, tag, anchor, Kind::List);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& at, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(at, tag, anchor, Kind::Mapping);
  }
  void OnMapEnd() override {
    refuse_duplicate_keys(*open_.back().node);
    end();
  }

 private:
  struct Open {
    YamlNode* node;
    const YamlNode* key = nullptr;  // read, its value is not yet
  };

  YamlNode& add_null(const YAML::Mark& at);
  void place(const YAML::Mark& at, const YamlNode& node);
  void count(const YAML::Mark& at, std::uint32_t values);
  void remember(YAML::anchor_t anchor, YamlNode& node) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = &node;
  }
  void begin(const YAML::Mark& at, const std::string& tag, YAML::anchor_t anchor, Kind kind);
  void end();
  void check_height(const YAML::Mark& at, std::size_t height) const;
  void check_tag(const YamlNode& node, const std::string& tag);
  void check_closed(const YAML::Mark& at) const;
  void refuse_duplicate_keys(const YamlNode& mapping);

  std::string_view text_;
  std::uint32_t file_;
  YamlDocument& document_;
  YamlProblems& problems_;
  const YamlNode* root_ = nullptr;
  std::vector<Open> open_;
  std::unordered_map<YAML::anchor_t, YamlNode*> anchors_;
  std::size_t values_ = 0;
  bool begun_ = false;
};

std::string Builder::path(std::uint32_t line) const {
  std::string path;
  for (const Open& open : open_) {
    const auto& entries = open.node->entries;
    if (open.node->kind == Kind::List) {
      append_yaml_index(path, &open == &open_.back() ? entries.size() : entries.size() - 1);
    } else if (open.key != nullptr) {
      append_yaml_key(path, open.key->text);
    } else if (!entries.empty() && entries.back().key->mark.line == line) {
      append_yaml_key(path, entries.back().key->text);
    }
  }
  return path;
}

// Columns are told in characters, but where a line is so long that nobody counts them.
YamlMark Builder::mark(const YAML::Mark& at) const {
  if (at.is_null()) return {file_, 0, 0};
  auto column = static_cast<std::uint32_t>(at.column);
  auto position = static_cast<std::size_t>(at.pos);
  // yaml-cpp counts on where the text has ended.
  if (position > text_.size()) {
    column -= static_cast<std::uint32_t>(std::min<std::size_t>(column, position - text_.size()));
    position = text_.size();
  }
  if (column < 1000 && column <= position) {
    const std::string_view before = text_.substr(position - column, column);
    column = static_cast<std::uint32_t>(
        std::count_if(before.begin(), before.end(), [](unsigned char c) { return (c & 0xc0) != 0x80; }));
  }
  return {file_, static_cast<std::uint32_t>(at.line) + 1, column + 1};
}

YamlNode& Builder::add_null(const YAML::Mark& at) {
  count(at, 1);
  YamlNode& node = document_.nodes.emplace_back();
  // Nothing stands nowhere; yaml-cpp tells what comes next. Better the key that it was given to.
  const bool of_a_key = !open_.empty() && open_.back().key != nullptr;
  node.mark = of_a_key ? open_.back().key->mark : mark(at);
  place(at, node);
  return node;
}

void Builder::place(const YAML::Mark& at, const YamlNode& node) {
  if (open_.empty()) {
    root_ = &node;
    return;
  }
  Open& open = open_.back();
  if (open.node->kind == Kind::List) {
    open.node->entries.push_back({nullptr, &node});
  } else if (open.key == nullptr) {
    if (node.kind != Kind::Scalar) throw NotYaml{mark(at), "expected a text as a key"};
    if (node.text == "<<" && !node.quoted) throw NotYaml{mark(at), "merge keys (<<) are not supported"};
    open.key = &node;
  } else {
    open.node->entries.push_back({open.key, &node});
    if (node.complete) open.key = nullptr;
  }
}

void Builder::count(const YAML::Mark& at, std::uint32_t values) {
  values_ += values;
  if (values_ > kMaxYamlValues) {
    throw NotYaml{mark(at), fmt::format("more than {} values, those that aliases stand for included", kMaxYamlValues)};
  }
}

void Builder::check_height(const YAML::Mark& at, std::size_t height) const {
  if (open_.size() + height > kMaxYamlDepth) {
    throw NotYaml{mark(at), fmt::format("nested more than {} deep", kMaxYamlDepth)};
  }
}

void Builder::OnAlias(const YAML::Mark& at, YAML::anchor_t anchor) {
  const auto found = anchors_.find(anchor);
  if (found == anchors_.end() || !found->second->complete) {
    throw NotYaml{mark(at), "an alias inside of what it stands for"};
  }
  const YamlNode& node = *found->second;
  count(at, node.weight);
  check_height(at, node.height);
  place(at, node);
}

void Builder::OnScalar(const YAML::Mark& at, const std::string& tag, YAML::anchor_t anchor, const std::string& value) {
  check_closed(at);
  count(at, 1);
  YamlNode& node = document_.nodes.emplace_back();
  node.kind = Kind::Scalar;
  node.mark = mark(at);
  node.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
  node.text = value;
  check_tag(node, tag);
  place(at, node);
  remember(anchor, node);
}

void Builder::begin(const YAML::Mark& at, const std::string& tag, YAML::anchor_t anchor, Kind kind) {
  check_height(at, 1);
  count(at, 1);
  YamlNode& node = document_.nodes.emplace_back();
  node.kind = kind;
  node.mark = mark(at);
  node.complete = false;
  node.height = 1;
  check_tag(node, tag);
  place(at, node);
  remember(anchor, node);
  open_.push_back({&node});
}

void Builder::end() {
  YamlNode& node = *open_.back().node;
  open_.pop_back();
  node.complete = true;
  for (const YamlNode::Entry& entry : node.entries) {
    node.weight += entry.value->weight + (entry.key != nullptr ? 1 : 0);
    node.height = std::max<std::uint8_t>(node.height, static_cast<std::uint8_t>(entry.value->height + 1));
  }
  if (!open_.empty()) open_.back().key = nullptr;
}

void Builder::check_tag(const YamlNode& node, const std::string& tag) {
  constexpr std::string_view kStandard = "tag:yaml.org,2002:";
  if (tag.empty() || tag == "?" || tag == "!" || tag.starts_with(kStandard)) return;
  // Without naming it: it may be a password.
  problems_.add(node.mark, path(), "tags are not supported; a text that begins with ! is to stand in quotes");
}

// yaml-cpp takes the end of the file for the end of a text in quotes. What stands before those are a tag and an anchor.
void Builder::check_closed(const YAML::Mark& at) const {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  std::size_t i = std::min(static_cast<std::size_t>(std::max(at.pos, 0)), text_.size());
  while (i < text_.size() && (text_[i] == '&' || text_[i] == '!')) {
    while (i < text_.size() && !blank(text_[i])) ++i;
    while (i < text_.size() && blank(text_[i])) ++i;
  }
  if (i == text_.size() || (text_[i] != '"' && text_[i] != '\'')) return;
  const char quote = text_[i];
  for (++i; i < text_.size(); ++i) {
    if (quote == '"' && text_[i] == '\\') {
      ++i;
    } else if (text_[i] == quote) {
      if (quote == '"' || i + 1 == text_.size() || text_[i + 1] != '\'') return;
      ++i;
    }
  }
  throw NotYaml{mark(at), "the text in quotes that begins here does not end"};
}

void Builder::refuse_duplicate_keys(const YamlNode& mapping) {
  std::unordered_map<std::string_view, const YamlNode*> seen;
  for (const YamlNode::Entry& entry : mapping.entries) {
    const auto [first, added] = seen.try_emplace(entry.key->text, entry.key);
    if (added) continue;
    std::string where = path();
    append_yaml_key(where, entry.key->text);
    problems_.add(entry.key->mark, std::move(where), fmt::format("already given in line {}", first->second->mark.line));
  }
}

}  // namespace

bool parse_yaml(std::string_view text, std::uint32_t file, YamlDocument& document, YamlProblems& problems) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  Builder builder(text, file, document, problems);
  try {
    check_characters(text, file);
    TextBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    document.root = builder.root();
    return true;
  } catch (const NotYaml& error) {
    problems.add(error.mark, builder.path(error.mark.line), error.message);
  } catch (const YAML::Exception& error) {
    // It may end with the first byte of the character that it is about.
    const std::string_view text_of_error = error.msg;
    std::size_t length = 0;
    while (length < text_of_error.size()) {
      const std::size_t more = utf8_length(text_of_error.substr(length));
      if (more == 0) break;
      length += more;
    }
    std::string message = "not valid YAML: " + error.msg.substr(0, length);
    if (error.msg == YAML::ErrorMsg::UNKNOWN_ANCHOR) message += "; a text that begins with * is to stand in quotes";
    const YamlMark mark = builder.mark(error.mark);
    problems.add(mark, builder.path(mark.line), std::move(message));
  }
  return false;
}

void append_yaml_key(std::string& path, std::string_view key) {
  const bool word = !key.empty() && key.size() <= kMaxQuotedBytes && !holds_control_character(key) &&
                    std::all_of(key.begin(), key.end(),
                                [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-' || c >= 0x80; });
  if (!path.empty()) path += '.';
  path += word ? std::string(key) : quote_yaml(key);
}

void append_yaml_index(std::string& path, std::size_t index) { path += fmt::format("[{}]", index); }

std::string quote_yaml(std::string_view text) {
  std::string quoted = "\"";
  const bool cut = text.size() > kMaxQuotedBytes;
  if (cut) {
    text = text.substr(0, kMaxQuotedBytes);
    while ((static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.remove_suffix(1);
    if (static_cast<unsigned char>(text.back()) >= 0xc0) text.remove_suffix(1);
  }
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t control = control_character_length(text);
    if (c == '"' || c == '\\') {
      (quoted += '\\') += c;
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (control != 0) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[control - 1]));
    } else {
      quoted += c;
    }
    text.remove_prefix(std::max<std::size_t>(control, 1));
  }
  return quoted + (cut ? "…\"" : "\"");
}

}  // namespace snowfox
