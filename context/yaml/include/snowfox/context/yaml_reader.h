#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/context/configuration_error.h>
#include <snowfox/context/loaded_configuration.h>
#include <snowfox/context/yaml_forms.h>
#include <snowfox/context/yaml_mapping.h>
#include <snowfox/context/yaml_value.h>
#include <snowfox/core/io.h>

namespace snowfox {

struct YamlOptions {
  /// A key that nobody asks for is an error; with this it is not.
  bool ignore_unknown_keys = false;
  /// Of all files together.
  std::size_t max_bytes = 16U << 20;
};

/// What a configuration is read from: for who wants to read it again when it is not there any more.
struct YamlTexts {
  struct File {
    std::string name;  ///< its path
    std::string text;
  };
  std::string path;        ///< of the file or directory
  bool directory = false;  ///< whether it is one
  std::vector<File> files;

  /// A file, or all *.yaml and *.yml of a directory, in the order of their names. Throws ConfigurationError if there is
  /// nothing to be read.
  static YamlTexts read(const std::string& path, const YamlOptions& options = {}, Io& io = Io::system());
};

/// Reads YAML - and JSON, which is YAML, too - into the program's own types. All that is wrong is told together, each
/// problem with its file, line, column and key. Foreign text does no harm: size, nesting (64), the number of values
/// (half a million) and what aliases may stand for (the same) are bounded.
///
///     struct Settings { std::string name; std::vector<Address> listen; };
///     void read_yaml(YamlMapping& yaml, Settings& settings) {
///       yaml.required("name", settings.name);
///       yaml.optional("listen", settings.listen);
///     }
///     auto settings = YamlReader::open("node.yml").read<Settings>();
///
/// Keys given twice are errors. Merge keys (`<<`), tags of one's own and several documents in a file are not supported.
class YamlReader {
 public:
  /// A file, or a directory: then all files *.yaml and *.yml in it, in the order of their names, as if they were one.
  /// Lists of the outermost mapping are joined, mappings there are merged; anything else may be given by one file only.
  /// Throws ConfigurationError if there is nothing to be read, or it is no YAML.
  static YamlReader open(const std::string& path, const YamlOptions& options = {}, Io& io = Io::system());
  /// The same of what was read before.
  static YamlReader parse(const YamlTexts& texts, const YamlOptions& options = {});
  /// `text`, which errors call `name`. Throws ConfigurationError if it is no YAML.
  static YamlReader parse(std::string_view text, const std::string& name, const YamlOptions& options = {});
  ~YamlReader();
  YamlReader(YamlReader&&) noexcept;
  YamlReader& operator=(YamlReader&&) noexcept;

  /// The version is a hash of all that was read; the name is the path.
  const ConfigurationMetadata& metadata() const noexcept;
  /// The files that were read.
  std::vector<std::string> files() const;

  /// Reads all into `target`. Throws ConfigurationError.
  template <typename T, typename Form = ReadYaml>
  void read(T& target, const Form& form = {}) const {
    read_root([&](const YamlValue& root) { root.read(target, form); });
  }
  template <typename T>
  T read() const {
    T target{};
    read(target);
    return target;
  }

 private:
  struct Document;
  explicit YamlReader(std::unique_ptr<Document> document) noexcept;
  void read_root(const std::function<void(const YamlValue&)>& function) const;

  std::unique_ptr<Document> document_;
};

/// What Reload loads: the configuration at `path`. Throws ConfigurationError.
template <typename Configuration>
LoadedConfiguration<Configuration> load_yaml(const std::string& path, const YamlOptions& options = {},
                                             Io& io = Io::system()) {
  const YamlReader reader = YamlReader::open(path, options, io);
  return {reader.read<Configuration>(), reader.metadata()};
}

}  // namespace snowfox
