#include "manager/kept_configuration.h"

#include <exception>

#include "common/state_file.h"
#include "protocol/manager_state.pb.h"

namespace snowfox::node {

KeptConfiguration::KeptConfiguration(Io& io, Log& log, const RunDirectory& directory)
    : io_(io), log_(log), file_(directory.manager_state() + "/configuration"), boot_id_(boot_id(io)) {}

void KeptConfiguration::keep(const YamlTexts& texts) noexcept {
  try {
    manager_state::KeptConfiguration kept;
    kept.set_boot_id(boot_id_);
    kept.set_path(texts.path);
    kept.set_directory(texts.directory);
    for (const auto& [name, text] : texts.files) {
      auto& file = *kept.add_files();
      file.set_name(name);
      file.set_text(text);
    }
    write_state_file(io_, file_, kept.SerializeAsString());
  } catch (const std::exception& error) {
    log_if_possible([&] {
      log_.warning("manager", "the configuration is not kept for a manager that comes after this one",
                   {{"reason", error.what()}});
    });
  }
}

std::optional<YamlTexts> KeptConfiguration::find(const std::string& path) const {
  const auto content = read_state_file(io_, file_);
  manager_state::KeptConfiguration kept;
  if (!content || !kept.ParseFromString(*content) || kept.boot_id() != boot_id_ || kept.path() != path) {
    return std::nullopt;
  }
  if (!kept.directory() && kept.files_size() != 1) return std::nullopt;
  YamlTexts texts{kept.path(), kept.directory(), {}};
  for (const auto& file : kept.files()) texts.files.push_back({file.name(), file.text()});
  return texts;
}

}  // namespace snowfox::node
