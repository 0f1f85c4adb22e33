# Builds the program that README.md shows, with the CMakeLists.txt that it shows, against what is installed. Given with -D:
# README, PROTOCOL (its echo.proto), DIRECTORY (to build in), PREFIX (installed), GENERATOR, COMPILER and FLAGS.

# write_block(LANGUAGE FILE): writes the first block of LANGUAGE to FILE.
function(write_block LANGUAGE FILE)
  file(READ "${README}" page)
  string(FIND "${page}" "```${LANGUAGE}\n" begin)
  if(begin EQUAL -1)
    message(FATAL_ERROR "${README} has no block of ${LANGUAGE}")
  endif()
  string(LENGTH "```${LANGUAGE}\n" fence)
  math(EXPR begin "${begin} + ${fence}")
  string(SUBSTRING "${page}" ${begin} -1 page)
  string(FIND "${page}" "```" end)
  string(SUBSTRING "${page}" 0 ${end} text)
  file(WRITE "${DIRECTORY}/${FILE}" "${text}")
endfunction()

file(REMOVE_RECURSE "${DIRECTORY}")
write_block(cpp echo.cc)
write_block(cmake CMakeLists.txt)
file(COPY "${PROTOCOL}" DESTINATION "${DIRECTORY}")
execute_process(
  COMMAND "${CMAKE_COMMAND}" -S "${DIRECTORY}" -B "${DIRECTORY}/build" -G "${GENERATOR}" "-DCMAKE_PREFIX_PATH=${PREFIX}"
          "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_FLAGS=${FLAGS}"
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${DIRECTORY}/build" COMMAND_ERROR_IS_FATAL ANY)
