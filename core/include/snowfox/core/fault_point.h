#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace snowfox {

/// Places in the library where the system may let it down in a way that no descriptor shows. Built in where
/// SNOWFOX_FAULT_POINTS is ON, as for tests; elsewhere they cost nothing. What is left of the list by a simulation that
/// never came there is code that nobody has tried.
enum class FaultPoint : std::uint8_t {
  BufferLend,       ///< no memory for a buffer of bytes to be written or received
  ChannelMake,      ///< a descriptor cannot be watched
  ChannelInterest,  ///< nor for more than it is
  KeeperKeep,       ///< no memory for a kept promise
  ManualPost,       ///< no memory for what is posted
  SchedulerAdd,     ///< no memory for a timer
  WorkerStart,      ///< no thread for the work
  ReloadBuild,      ///< a scope cannot be built
};
inline constexpr std::size_t kFaultPoints = 8;

/// Bugs that can be put in, each of a kind that has cost others nights: they prove that the tests would find them.
enum class Mutant : std::uint8_t {
  None,
  LostWakeUp,        ///< a source that is ready is not queued
  DoubleSettle,      ///< a promise that was settled is settled once more
  LeakedDescriptor,  ///< a channel goes and its descriptor stays open
  ForgottenResume,   ///< a drain has become empty and its sources stay paused
  WrongAnswer,       ///< an answer settles the promise of another request
  LostBytes,         ///< bytes of a short write are taken for written
  StaleWatch,        ///< a descriptor is closed before its watch has ended
};

std::string_view to_string(FaultPoint point) noexcept;
std::string_view to_string(Mutant mutant) noexcept;

/// Decides on behalf of all fault points and mutants of the process; null decides that nothing happens. To be set while
/// no other thread runs the library's code.
class FaultChooser {
 public:
  virtual ~FaultChooser() = default;
  virtual bool fires(FaultPoint point) noexcept = 0;
  virtual bool fires(Mutant mutant) noexcept = 0;
};
/// Gives back the one before.
FaultChooser* set_fault_chooser(FaultChooser* chooser) noexcept;

namespace detail {
extern FaultChooser* fault_chooser;
}

}  // namespace snowfox

#ifdef SNOWFOX_FAULT_POINTS
/// Whether this time what the point stands for goes wrong: `if (SNOWFOX_FAULT(BufferLend)) throw std::bad_alloc();`
#define SNOWFOX_FAULT(point) \
  (::snowfox::detail::fault_chooser != nullptr && ::snowfox::detail::fault_chooser->fires(::snowfox::FaultPoint::point))
#define SNOWFOX_MUTANT(mutant) \
  (::snowfox::detail::fault_chooser != nullptr && ::snowfox::detail::fault_chooser->fires(::snowfox::Mutant::mutant))
#else
#define SNOWFOX_FAULT(point) false
#define SNOWFOX_MUTANT(mutant) false
#endif
