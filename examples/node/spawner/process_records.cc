#include "spawner/process_records.h"

#include <optional>
#include <string_view>
#include <utility>

#include "common/service_id.h"
#include "common/state_file.h"

namespace snowfox::node {
namespace {

constexpr std::string_view kSuffix = ".process";

}  // namespace

ProcessRecords::ProcessRecords(Io& io, Log& log, std::string directory)
    : io_(io), log_(log), directory_(std::move(directory)), boot_id_(boot_id(io)) {}

std::string ProcessRecords::path_of(const std::string& service) const {
  return directory_ + "/" + service + std::string(kSuffix);
}

void ProcessRecords::write(const Process& process) {
  manager_spawner::ProcessRecord record;
  record.set_boot_id(boot_id_);
  *record.mutable_process() = process;
  write_state_file(io_, path_of(process.service()), record.SerializeAsString());
}

void ProcessRecords::remove(const std::string& service) noexcept try {
  io_.remove(path_of(service));
} catch (const std::exception&) {
  // Whoever finds it finds no such process.
}

std::vector<ProcessRecords::Process> ProcessRecords::read() {
  std::vector<std::string> names;
  io_.list(directory_, names);
  std::vector<Process> processes;
  for (const std::string& name : names) {
    const std::string path = directory_ + "/" + name;
    const auto content = read_state_file(io_, path);
    manager_spawner::ProcessRecord record;
    if (name.ends_with(kSuffix) && content && record.ParseFromString(*content) && record.boot_id() == boot_id_ &&
        is_service_id(record.process().service()) && path_of(record.process().service()) == path) {
      processes.push_back(record.process());
      continue;
    }
    log_.info("spawner", "removed: no record of a process since the boot", {{"path", path}});
    io_.remove(path);
  }
  return processes;
}

}  // namespace snowfox::node
