# snowfox_protobuf_generate(TARGET file.proto... [DIRECTORY directory])
#
# Compiles protocol files, named relative to the current directory, or to DIRECTORY, into TARGET, which becomes a static
# library if it is not there yet. Their headers are included as they are named here: "echo.proto" gives
# #include "echo.pb.h". Generated code is not held to our warnings.
function(snowfox_protobuf_generate TARGET)
  if(NOT TARGET protobuf::protoc)
    message(FATAL_ERROR "${TARGET} needs the protocol compiler, which was not found. "
                        "Debian: apt-get install protobuf-compiler")
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "DIRECTORY" "")
  if(NOT arg_DIRECTORY)
    set(arg_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}")
  endif()
  set(directory "${CMAKE_CURRENT_BINARY_DIR}/${TARGET}_protocols")
  file(MAKE_DIRECTORY "${directory}")
  set(generated "")
  foreach(proto IN LISTS arg_UNPARSED_ARGUMENTS)
    string(REGEX REPLACE "\\.proto$" "" base "${directory}/${proto}")
    add_custom_command(
      OUTPUT "${base}.pb.cc" "${base}.pb.h"
      COMMAND protobuf::protoc "--proto_path=${arg_DIRECTORY}" "--cpp_out=${directory}" "${proto}"
      DEPENDS "${arg_DIRECTORY}/${proto}" protobuf::protoc
      WORKING_DIRECTORY "${arg_DIRECTORY}"
      COMMENT "Generating ${proto}"
      VERBATIM)
    list(APPEND generated "${base}.pb.cc" "${base}.pb.h")
  endforeach()
  set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS -w SKIP_PRECOMPILE_HEADERS ON)

  if(TARGET ${TARGET})
    target_sources(${TARGET} PRIVATE ${generated})
  else()
    add_library(${TARGET} STATIC ${generated})
    target_compile_features(${TARGET} PUBLIC cxx_std_20)
  endif()
  target_include_directories(${TARGET} SYSTEM PUBLIC "$<BUILD_INTERFACE:${directory}>")
  target_link_libraries(${TARGET} PUBLIC protobuf::libprotobuf)

  # Checks that read the sources without compiling them build this target first.
  if(NOT TARGET snowfox_generated)
    add_custom_target(snowfox_generated)
  endif()
  add_custom_target(${TARGET}_generated DEPENDS ${generated})
  add_dependencies(${TARGET} ${TARGET}_generated)
  add_dependencies(snowfox_generated ${TARGET}_generated)
endfunction()
