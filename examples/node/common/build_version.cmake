# Writes HEADER: from which VERSION and which commit SOURCE is being built. Touches it only if that has changed.
find_package(Git QUIET)
set(commit "unknown")
set(taint "false")
if(Git_FOUND AND EXISTS "${SOURCE}/.git")
  execute_process(COMMAND "${GIT_EXECUTABLE}" rev-parse --short=12 HEAD WORKING_DIRECTORY "${SOURCE}"
                  RESULT_VARIABLE result OUTPUT_VARIABLE head ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(result EQUAL 0)
    set(commit "${head}")
    # Reading must not lock the repository for whoever works in it.
    execute_process(COMMAND "${GIT_EXECUTABLE}" --no-optional-locks status --porcelain WORKING_DIRECTORY "${SOURCE}"
                    OUTPUT_VARIABLE changes ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(NOT changes STREQUAL "")
      set(taint "true")
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT "${HEADER}" @ONLY CONTENT [=[
inline constexpr const char* kBuildVersion = "@VERSION@";
inline constexpr const char* kBuildCommit = "@commit@";
inline constexpr bool kBuildTaint = @taint@;
]=])
