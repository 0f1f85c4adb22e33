# snowfox_add_library(NAME
#   [DIRECTORY directory...]  where include/ is, if not in the current directory alone
#   [HEADERS header...]       public headers, below include/, in the order to read them
#   [SOURCES source...]       without any, the library is its headers alone
#   [PUBLIC target...]        what its headers need
#   [PRIVATE target...])      what only its sources need
#
# Makes snowfox::NAME, installed with its headers, its own CMake file and its own pkg-config file: whoever asks for one
# component needs the libraries of that one and no others. Every target named here that is not SnowFox's own must have
# been found by snowfox_dependency().
function(snowfox_add_library NAME)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DIRECTORY;HEADERS;SOURCES;PUBLIC;PRIVATE")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "snowfox_add_library(${NAME}): what is '${arg_UNPARSED_ARGUMENTS}'?")
  endif()

  set(target snowfox_${NAME})
  if(arg_SOURCES)
    set(public PUBLIC)
    add_library(${target} ${arg_SOURCES})
    target_link_libraries(${target} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
    set_target_properties(${target} PROPERTIES
      VERSION ${PROJECT_VERSION}
      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  else()
    set(public INTERFACE)
    set(arg_PRIVATE)
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${arg_PUBLIC})
  endif()
  add_library(snowfox::${NAME} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${NAME})
  target_compile_features(${target} ${public} cxx_std_20)

  if(NOT arg_DIRECTORY)
    set(arg_DIRECTORY .)
  endif()
  set(include_directories "")
  foreach(directory IN LISTS arg_DIRECTORY)
    cmake_path(APPEND directory include)
    cmake_path(ABSOLUTE_PATH directory NORMALIZE)
    list(APPEND include_directories "${directory}")
  endforeach()
  target_sources(${target} ${public} FILE_SET HEADERS BASE_DIRS ${include_directories} FILES ${arg_HEADERS})

  if(SNOWFOX_INSTALL)
    install(TARGETS ${target} EXPORT snowfox-${NAME} FILE_SET HEADERS)
    install(EXPORT snowfox-${NAME} NAMESPACE snowfox:: FILE snowfox-${NAME}-targets.cmake
            DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/snowfox")
    _snowfox_install_component_file(${NAME} ${arg_PUBLIC} ${arg_PRIVATE})
    _snowfox_install_pkg_config_file(${NAME} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
    set_property(GLOBAL APPEND PROPERTY SNOWFOX_COMPONENTS ${NAME})
  endif()
endfunction()

# snowfox_install_package(): what makes find_package(snowfox COMPONENTS ...) work. Comes after the last library.
function(snowfox_install_package)
  include(CMakePackageConfigHelpers)
  set(destination "${CMAKE_INSTALL_LIBDIR}/cmake/snowfox")
  get_property(SNOWFOX_COMPONENTS GLOBAL PROPERTY SNOWFOX_COMPONENTS)
  configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/snowfox-config.cmake.in"
                                "${PROJECT_BINARY_DIR}/package/snowfox-config.cmake"
                                INSTALL_DESTINATION "${destination}" NO_SET_AND_CHECK_MACRO)
  write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/snowfox-config-version.cmake"
                                   COMPATIBILITY SameMinorVersion)
  install(FILES "${PROJECT_BINARY_DIR}/package/snowfox-config.cmake"
                "${PROJECT_BINARY_DIR}/package/snowfox-config-version.cmake"
          DESTINATION "${destination}")
endfunction()

# Writes snowfox-NAME.cmake: it brings in the targets that NAME needs, then NAME itself, by the macros of
# snowfox-config.cmake.
function(_snowfox_install_component_file NAME)
  set(text "")
  foreach(target IN LISTS ARGN)
    get_property(package GLOBAL PROPERTY "SNOWFOX_PACKAGE_${target}")
    if(target MATCHES "^snowfox::(.+)$")
      string(APPEND text "_snowfox_need_component(${NAME} ${CMAKE_MATCH_1})\n")
    elseif(package)
      string(APPEND text "_snowfox_need_package(${NAME} ${target} ${package})\n")
    elseif(target MATCHES "^PkgConfig::(.+)$")
      string(APPEND text "_snowfox_need_pkg_config(${NAME} ${CMAKE_MATCH_1})\n")
    else()
      message(FATAL_ERROR "snowfox_add_library(${NAME}): find ${target} by snowfox_dependency() first")
    endif()
  endforeach()
  string(APPEND text "include(\"\${CMAKE_CURRENT_LIST_DIR}/snowfox-${NAME}-targets.cmake\")\n"
                     "set(snowfox_${NAME}_FOUND TRUE)\n")
  set(file "${PROJECT_BINARY_DIR}/package/snowfox-${NAME}.cmake")
  file(CONFIGURE OUTPUT "${file}" CONTENT "${text}" @ONLY)
  install(FILES "${file}" DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/snowfox")
endfunction()

# Writes snowfox-NAME.pc. A static library does not carry what it was linked with, so its private needs are as required
# as the public ones and plain `pkg-config --libs` names them all; a shared one keeps them to itself.
function(_snowfox_install_pkg_config_file NAME)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PUBLIC;PRIVATE")
  foreach(kind PUBLIC PRIVATE)
    set(needs_${kind} "")
    foreach(target IN LISTS arg_${kind})
      get_property(pkg_config GLOBAL PROPERTY "SNOWFOX_PKG_CONFIG_${target}")
      if(target MATCHES "^snowfox::(.+)$")
        list(APPEND needs_${kind} "snowfox-${CMAKE_MATCH_1} = ${PROJECT_VERSION}")
      elseif(pkg_config)
        list(APPEND needs_${kind} "${pkg_config}")
      else()
        message(FATAL_ERROR "snowfox_add_library(${NAME}): pkg-config has no name for ${target}")
      endif()
    endforeach()
  endforeach()

  set(LIBS "")
  get_target_property(type snowfox_${NAME} TYPE)
  if(NOT type STREQUAL INTERFACE_LIBRARY)
    set(LIBS "-L\${libdir} -lsnowfox_${NAME}")
  endif()
  if(type STREQUAL STATIC_LIBRARY)
    list(APPEND needs_PUBLIC ${needs_PRIVATE})
    set(needs_PRIVATE "")
  endif()
  list(JOIN needs_PUBLIC ", " REQUIRES)
  list(JOIN needs_PRIVATE ", " REQUIRES_PRIVATE)

  # From ${pcfiledir}, so that the installed tree may be moved.
  set(directory "/${CMAKE_INSTALL_LIBDIR}/pkgconfig")
  file(RELATIVE_PATH PREFIX "${directory}" "/")
  string(REGEX REPLACE "/$" "" PREFIX "${PREFIX}")
  set(file "${PROJECT_BINARY_DIR}/package/snowfox-${NAME}.pc")
  configure_file("${PROJECT_SOURCE_DIR}/cmake/snowfox-component.pc.in" "${file}" @ONLY)
  install(FILES "${file}" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endfunction()
