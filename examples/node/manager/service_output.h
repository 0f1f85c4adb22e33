#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <snowfox/core/clock.h>
#include <snowfox/core/io.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/line_source.h>

#include "manager/configuration.h"

namespace snowfox::node {

/// What a service writes, line by line on its way to the log or to a file.
///
/// It comes through a named pipe, which the manager makes and the spawner gives the service for its output. So it holds
/// what is written while there is no manager, up to what a pipe takes; then the service waits.
///
/// To the log go at most kLinesPerSecond; what is more is counted. A file that has reached its limit becomes FILE.1,
/// the one of that name before FILE.2, and so on up to as many as are kept. What the disk does not take is counted,
/// too: the service must not wait for it.
class ServiceOutput {
 public:
  static constexpr unsigned kLinesPerSecond = 1000;

  /// Makes the pipe, if it is not there, and reads from it. Throws std::system_error if that cannot be had.
  ServiceOutput(LoopManager& loop, std::string service, std::string pipe, OutputSettings settings);
  ~ServiceOutput();
  ServiceOutput(const ServiceOutput&) = delete;
  ServiceOutput& operator=(const ServiceOutput&) = delete;

  void configure(const OutputSettings& settings);
  /// All that was written has been read.
  bool empty() const noexcept;
  /// Nobody will write any more: the pipe goes.
  void remove_pipe() noexcept;

 private:
  void take(const TextLine& line);
  void log(const std::string& text);
  void write(const std::string& text);
  void open_file();
  void rotate();
  void lost(const std::string& reason);

  LoopManager& loop_;
  std::string service_;
  std::string pipe_;
  OutputSettings settings_;
  std::unique_ptr<LineSource> lines_;
  Descriptor file_;
  std::uint64_t file_bytes_ = 0;
  TimePoint second_{};  // when the one being counted began
  unsigned lines_in_it_ = 0;
  std::uint64_t dropped_ = 0;  // lines that were not logged, or not written
};

}  // namespace snowfox::node
