# snowfox_add_test(COMPONENT name_test.cc...
#   [LIBS target...]      besides snowfox::COMPONENT, the test support and GoogleTest
#   [LABELS label...]     besides COMPONENT
#   [THREADS pattern...]  GoogleTest patterns ("WorkerSourceTest.*") of tests with more than one thread: these also get
#                         the label `threads`, by which the thread sanitizer finds them
#   [TIMEOUT seconds]     of each test; 60 without
#   [WHOLE])              one test of ctest for all, where they share what takes long to make
#
# Makes one executable of a directory's tests. ctest runs each test as a process of its own, several at a time: a test
# takes its files from a temporary directory and its ports from the kernel.
function(snowfox_add_test COMPONENT)
  cmake_parse_arguments(PARSE_ARGV 1 arg "WHOLE" "TIMEOUT" "LIBS;LABELS;THREADS")
  set(sources ${arg_UNPARSED_ARGUMENTS})
  if(NOT sources)
    return()
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()

  set(target snowfox_${COMPONENT}_test)
  add_executable(${target} ${sources})
  if(TARGET snowfox::${COMPONENT})
    target_link_libraries(${target} PRIVATE snowfox::${COMPONENT})
  endif()
  target_link_libraries(${target} PRIVATE ${arg_LIBS} snowfox_test_support GTest::gmock GTest::gmock_main)
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_precompile_headers(${target} REUSE_FROM snowfox_test_headers)

  set(labels ${COMPONENT} ${arg_LABELS})
  if(arg_WHOLE)
    add_test(NAME ${COMPONENT} COMMAND ${target})
    set_tests_properties(${COMPONENT} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${labels}" SKIP_RETURN_CODE 77)
  elseif(arg_THREADS)
    list(JOIN arg_THREADS ":" threads)
    _snowfox_discover_tests(${target} "${threads}" ${arg_TIMEOUT} ${labels} threads)
    _snowfox_discover_tests(${target} "-${threads}" ${arg_TIMEOUT} ${labels})
    add_dependencies(snowfox_threads_tests ${target})
  else()
    _snowfox_discover_tests(${target} "" ${arg_TIMEOUT} ${labels})
  endif()
endfunction()

# Registers the tests of TARGET that FILTER lets through. The labels are set when ctest has read the list of tests, for
# gtest_discover_tests() would take a list of labels apart.
function(_snowfox_discover_tests TARGET FILTER TIMEOUT)
  include(GoogleTest)
  string(MAKE_C_IDENTIFIER "${TARGET}_${ARGN}" tests)
  if(FILTER)
    set(filter TEST_FILTER "${FILTER}")
  endif()
  gtest_discover_tests(${TARGET} ${filter} TEST_LIST ${tests} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${TIMEOUT})
  set(file "${CMAKE_CURRENT_BINARY_DIR}/${tests}_labels.cmake")
  file(CONFIGURE OUTPUT "${file}" @ONLY CONTENT
       "if(@tests@)\n  set_tests_properties(\${@tests@} PROPERTIES LABELS \"@ARGN@\")\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${file}")
endfunction()

# snowfox_add_benchmark(NAME source... [LIBS target...]): a Google Benchmark program, with its main().
function(snowfox_add_benchmark NAME)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LIBS")
  if(NOT arg_UNPARSED_ARGUMENTS)
    return()
  endif()
  add_executable(${NAME} ${arg_UNPARSED_ARGUMENTS})
  target_compile_features(${NAME} PRIVATE cxx_std_20)
  target_link_libraries(${NAME} PRIVATE ${arg_LIBS} benchmark::benchmark benchmark::benchmark_main)
endfunction()
