#include <snowfox/core/fault_point.h>

#include <utility>

namespace snowfox {

FaultChooser* detail::fault_chooser = nullptr;

FaultChooser* set_fault_chooser(FaultChooser* chooser) noexcept {
  return std::exchange(detail::fault_chooser, chooser);
}

std::string_view to_string(FaultPoint point) noexcept {
  switch (point) {
    case FaultPoint::BufferLend: return "BufferLend";
    case FaultPoint::ChannelMake: return "ChannelMake";
    case FaultPoint::ChannelInterest: return "ChannelInterest";
    case FaultPoint::KeeperKeep: return "KeeperKeep";
    case FaultPoint::ManualPost: return "ManualPost";
    case FaultPoint::SchedulerAdd: return "SchedulerAdd";
    case FaultPoint::WorkerStart: return "WorkerStart";
    case FaultPoint::ReloadBuild: return "ReloadBuild";
  }
  return "";
}

std::string_view to_string(Mutant mutant) noexcept {
  switch (mutant) {
    case Mutant::None: return "None";
    case Mutant::LostWakeUp: return "LostWakeUp";
    case Mutant::DoubleSettle: return "DoubleSettle";
    case Mutant::LeakedDescriptor: return "LeakedDescriptor";
    case Mutant::ForgottenResume: return "ForgottenResume";
    case Mutant::WrongAnswer: return "WrongAnswer";
    case Mutant::LostBytes: return "LostBytes";
    case Mutant::StaleWatch: return "StaleWatch";
  }
  return "";
}

}  // namespace snowfox
