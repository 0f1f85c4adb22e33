#include <snowfox/context/yaml_reader.h>

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <span>
#include <system_error>

#include <snowfox/context/content_hash.h>
#include <snowfox/core/io.h>

#include "yaml_document.h"
#include "yaml_problems.h"

namespace snowfox {

struct YamlReader::Document {
  explicit Document(const YamlOptions& from) : options(from), problems(from.ignore_unknown_keys) {}

  YamlOptions options;
  YamlProblems problems;  // found on the way here; those of reading come on top
  YamlDocument yaml;
  ContentHash hash;
  ConfigurationMetadata metadata;
};

namespace {

[[noreturn]] void refuse(const std::string& file, std::string message) {
  throw ConfigurationError({{.file = file}, std::move(message)});
}

std::string why(int error) { return std::system_category().message(error); }

/// The YAML files of a directory, by name; nothing if it is none.
std::optional<std::vector<std::string>> files_in(const std::string& directory, Io& io) {
  std::vector<std::string> names;
  const int status = io.list(directory, names);
  if (status == -ENOTDIR) return std::nullopt;
  if (status < 0) refuse(directory, "cannot be read: " + why(-status));
  std::vector<std::string> files;
  for (const std::string& name : names) {
    if (name.starts_with('.') || !(name.ends_with(".yaml") || name.ends_with(".yml"))) continue;
    files.push_back(directory + (directory.ends_with('/') ? "" : "/") + name);
  }
  if (files.empty()) refuse(directory, "no *.yaml or *.yml file in this directory");
  std::sort(files.begin(), files.end());
  return files;
}

std::string content_of(const std::string& path, std::size_t most, std::size_t all, Io& io) {
  const int fd = io.open(path, O_RDONLY);
  if (fd < 0) refuse(path, "cannot be read: " + why(-fd));
  const Descriptor file(io, fd);
  if (!io.status(fd).value_or(FileStatus()).regular) refuse(path, "cannot be read: not a regular file");
  std::string content;
  for (;;) {
    // The size may change meanwhile, and that of some files is told as 0.
    const std::size_t read = content.size();
    content.resize(read + 65536);
    const ssize_t count = io.read(fd, std::as_writable_bytes(std::span(content).subspan(read)));
    if (count < 0) refuse(path, "cannot be read: " + why(static_cast<int>(-count)));
    content.resize(read + static_cast<std::size_t>(count));
    if (content.size() > most) refuse(path, fmt::format("too large: the limit is {} bytes", all));
    if (count == 0) return content;
  }
}

/// Puts together what several files say, as YamlReader::open tells.
class Merger {
 public:
  Merger(YamlDocument& document, YamlProblems& problems) : document_(document), problems_(problems) {}

  void add(const YamlNode& root) {
    if (root.kind == YamlValue::Kind::Null) return;
    if (root.kind != YamlValue::Kind::Mapping) {
      return problems_.add(root.mark, {}, "expected a mapping, as in each file of a directory");
    }
    if (whole_ == nullptr) whole_ = &document_.nodes.emplace_back(YamlNode{.kind = root.kind, .mark = root.mark});
    for (const YamlNode::Entry& entry : root.entries) add(entry);
  }
  const YamlNode* whole() const noexcept { return whole_; }

 private:
  /// What the outermost key of some file has come to.
  struct Outermost {
    std::size_t index;                                   // among the entries of the whole
    YamlNode* joined = nullptr;                          // its value, once it is of several files
    std::map<std::string_view, const YamlNode*> keys{};  // of the value, then
  };

  void add(const YamlNode::Entry& entry) {
    const auto [at, added] = outermost_.try_emplace(entry.key->text, Outermost{whole_->entries.size()});
    if (added) {
      whole_->entries.push_back(entry);
      return;
    }
    const YamlNode::Entry first = whole_->entries[at->second.index];
    // What is given twice in one file was told when that was read.
    if (first.key->mark.file == entry.key->mark.file) return;
    const bool simple = entry.value->kind != YamlValue::Kind::List && entry.value->kind != YamlValue::Kind::Mapping;
    if (simple || first.value->kind != entry.value->kind) return refuse_second(*entry.key, *first.key, {});
    join(at->second, *entry.value, entry.key->text);
  }

  void join(Outermost& outermost, const YamlNode& more, std::string_view name) {
    if (outermost.joined == nullptr) {
      const YamlNode*& value = whole_->entries[outermost.index].value;
      outermost.joined = &document_.nodes.emplace_back(*value);
      value = outermost.joined;
      for (const YamlNode::Entry& entry : value->entries) {
        if (entry.key != nullptr) outermost.keys.try_emplace(entry.key->text, entry.key);
      }
    }
    for (const YamlNode::Entry& entry : more.entries) {
      if (entry.key != nullptr) {
        const auto [first, added] = outermost.keys.try_emplace(entry.key->text, entry.key);
        if (!added) {
          if (first->second->mark.file != entry.key->mark.file) refuse_second(*entry.key, *first->second, name);
          continue;
        }
      }
      outermost.joined->entries.push_back(entry);
    }
  }

  void refuse_second(const YamlNode& key, const YamlNode& first, std::string_view inside) {
    std::string path;
    if (!inside.empty()) append_yaml_key(path, inside);
    append_yaml_key(path, key.text);
    problems_.add(key.mark, std::move(path), "already given by " + problems_.place(first.mark, {}).str());
  }

  YamlDocument& document_;
  YamlProblems& problems_;
  YamlNode* whole_ = nullptr;
  std::map<std::string_view, Outermost> outermost_;
};

}  // namespace

YamlReader::YamlReader(std::unique_ptr<Document> document) noexcept : document_(std::move(document)) {}
YamlReader::~YamlReader() = default;
YamlReader::YamlReader(YamlReader&&) noexcept = default;
YamlReader& YamlReader::operator=(YamlReader&&) noexcept = default;

const ConfigurationMetadata& YamlReader::metadata() const noexcept { return document_->metadata; }
std::vector<std::string> YamlReader::files() const { return document_->problems.files(); }

YamlReader YamlReader::parse(std::string_view text, const std::string& name, const YamlOptions& options) {
  auto document = std::make_unique<Document>(options);
  if (text.size() > options.max_bytes) refuse(name, fmt::format("too large: the limit is {} bytes", options.max_bytes));
  const std::uint32_t file = document->problems.add_file(name);
  if (!parse_yaml(text, file, document->yaml, document->problems)) document->problems.check();
  document->metadata.version = document->hash.add(text).str();
  document->metadata.name = name;
  return YamlReader(std::move(document));
}

YamlTexts YamlTexts::read(const std::string& path, const YamlOptions& options, Io& io) {
  const auto names = files_in(path, io);
  YamlTexts texts{path, names.has_value(), {}};
  if (!names) texts.files.push_back({path, content_of(path, options.max_bytes, options.max_bytes, io)});
  std::size_t bytes = 0;
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    texts.files.push_back({name, content_of(name, options.max_bytes - bytes, options.max_bytes, io)});
    bytes += texts.files.back().text.size();
  }
  return texts;
}

YamlReader YamlReader::open(const std::string& path, const YamlOptions& options, Io& io) {
  return parse(YamlTexts::read(path, options, io), options);
}

YamlReader YamlReader::parse(const YamlTexts& texts, const YamlOptions& options) {
  if (!texts.directory) return parse(texts.files.at(0).text, texts.path, options);

  auto document = std::make_unique<Document>(options);
  Merger merger(document->yaml, document->problems);
  bool usable = true;
  for (const auto& [name, text] : texts.files) {
    const std::uint32_t file = document->problems.add_file(name);
    document->hash.add(name.substr(name.rfind('/') + 1)).add(text);
    document->yaml.root = nullptr;
    usable = parse_yaml(text, file, document->yaml, document->problems) && usable;
    if (document->yaml.root != nullptr) merger.add(*document->yaml.root);
  }
  if (!usable) document->problems.check();
  document->yaml.root = merger.whole();
  document->metadata.version = document->hash.str();
  document->metadata.name = texts.path;
  return YamlReader(std::move(document));
}

void YamlReader::read_root(const std::function<void(const YamlValue&)>& function) const {
  static const YamlNode nothing;
  YamlProblems problems = document_->problems;
  function(YamlValue(problems, document_->yaml.root == nullptr ? &nothing : document_->yaml.root));
  problems.check();
}

}  // namespace snowfox
