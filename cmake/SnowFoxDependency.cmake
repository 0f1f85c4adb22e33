# snowfox_dependency(TARGET
#   [PACKAGE name]       found by find_package(); without it by pkg-config, and TARGET is PkgConfig::<PKG_CONFIG>
#   [PKG_CONFIG name]    what pkg-config calls it
#   DEBIAN package...    the Debian packages that bring it
#   [OPTION name])       the option that asks for it; without one SnowFox cannot do without it
#
# Finds a library or stops with what to install. What is said here also goes into the files by which an installed
# SnowFox finds the same library again. A target that an embedding project already has is taken as it is.
function(snowfox_dependency TARGET)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "PACKAGE;PKG_CONFIG;OPTION" "DEBIAN")
  if(NOT TARGET ${TARGET})
    if(arg_PACKAGE)
      set(sought "${arg_PACKAGE}")
      find_package(${arg_PACKAGE} QUIET GLOBAL)
    else()
      set(sought "${arg_PKG_CONFIG}")
      find_package(PkgConfig QUIET)
      if(NOT PkgConfig_FOUND)
        message(FATAL_ERROR "pkg-config was not found. Debian: apt-get install pkg-config")
      endif()
      pkg_check_modules(${arg_PKG_CONFIG} QUIET IMPORTED_TARGET GLOBAL ${arg_PKG_CONFIG})
    endif()
  endif()
  if(NOT TARGET ${TARGET})
    list(JOIN arg_DEBIAN " " packages)
    if(arg_OPTION)
      message(FATAL_ERROR "${arg_OPTION} is ON but ${sought} was not found. "
                          "Debian: apt-get install ${packages}. To go without it: -D${arg_OPTION}=OFF")
    endif()
    message(FATAL_ERROR "SnowFox needs ${sought}, which was not found. Debian: apt-get install ${packages}")
  endif()
  set_property(GLOBAL PROPERTY "SNOWFOX_PACKAGE_${TARGET}" "${arg_PACKAGE}")
  set_property(GLOBAL PROPERTY "SNOWFOX_PKG_CONFIG_${TARGET}" "${arg_PKG_CONFIG}")
endfunction()
