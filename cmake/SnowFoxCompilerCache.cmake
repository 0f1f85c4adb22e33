# Compiles through ccache when it is there and nobody asked for another launcher.
if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(SNOWFOX_CCACHE ccache)
  mark_as_advanced(SNOWFOX_CCACHE)
  if(SNOWFOX_CCACHE)
    # Without this sloppiness ccache refuses whatever uses a precompiled header.
    set(CMAKE_CXX_COMPILER_LAUNCHER
        "${CMAKE_COMMAND}" -E env "CCACHE_SLOPPINESS=pch_defines,time_macros" "${SNOWFOX_CCACHE}")
  endif()
endif()
