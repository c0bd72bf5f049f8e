# Targets of Hadal: every library has a layer and links only lower layers.
#
#   hadal_library(NAME base LAYER 0 SRCS ... HDRS ... DEPS ...)
#   hadal_program(NAME hadal LAYER 4 SRCS ... DEPS ...)
#   hadal_test(NAME base_test LABEL unit SRCS ... DEPS ... [TIMEOUT s] [THREADED])
#   hadal_fuzz(NAME safetensors_fuzz SRCS ... DEPS ...)
#   hadal_compile_alone(SRC...)
#
# A library also gets `<name>_link_test`: it must link whole with its declared dependencies alone.

set(HADAL_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # GCC's -Wconversion, the check of record, lets signed indices be; clang's does not.
  list(APPEND HADAL_WARNINGS -Wno-sign-conversion)
endif()
set_property(GLOBAL PROPERTY HADAL_TEST_SOURCES "")
add_custom_target(all_fuzz_targets) # what ./dev fuzz builds
add_custom_target(run_threaded_tests) # what ./dev tsan runs: tests in which threads meet

# The headers that most sources spend their time on. Clang's sanitizer builds take them precompiled
# (GCC 12 crashes on them); other builds show that every source includes what it uses.
set(HADAL_PRECOMPILE OFF)
if(HADAL_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  set(HADAL_PRECOMPILE ON)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/precompiled_headers.cc CONTENT "")
  add_library(precompiled_headers STATIC ${PROJECT_BINARY_DIR}/precompiled_headers.cc)
  target_link_libraries(precompiled_headers PUBLIC Boost::json GTest::gmock)
  target_precompile_headers(precompiled_headers PRIVATE
    <algorithm> <array> <chrono> <cstdint> <functional> <map> <memory> <optional> <span> <string>
    <string_view> <thread> <utility> <variant> <vector>
    <absl/container/flat_hash_map.h> <absl/status/statusor.h> <absl/strings/str_format.h>
    <absl/synchronization/mutex.h> <boost/json/value.hpp> <gmock/gmock.h>)
endif()

function(hadal_target_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${HADAL_WARNINGS}>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_options(${target} PRIVATE -Wthread-safety)
  endif()
  if(HADAL_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${HADAL_SANITIZE}
                                            -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${HADAL_SANITIZE})
  endif()
  if(HADAL_PRECOMPILE AND NOT target STREQUAL "precompiled_headers")
    # Whoever links gRPC compiles with -pthread; precompiled headers must agree on it.
    target_compile_options(${target} PRIVATE -pthread)
    target_precompile_headers(${target} REUSE_FROM precompiled_headers)
  endif()
  if(HADAL_FUZZ)
    target_compile_options(${target} PUBLIC -fsanitize=fuzzer-no-link)
  endif()
  if(HADAL_SANITIZE)
    hadal_compile_together(${target})
  endif()
endfunction()

# Compiles the target's sources eight at a time, for most of the time goes into headers. Sanitizer
# builds do so with all sources, others with tests alone: they show that every source includes what
# it uses.
function(hadal_compile_together target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC takes sources that others include for headers.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
  endif()
endfunction()

# Sources of this folder that are compiled alone everywhere: they have names for themselves that
# other sources of their target have too.
function(hadal_compile_alone)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

function(hadal_check_layers target layer)
  foreach(dep IN LISTS ARGN)
    get_target_property(dep_layer ${dep} HADAL_LAYER)
    if(dep_layer AND NOT dep_layer LESS layer)
      message(FATAL_ERROR "${target} (layer ${layer}) must not link ${dep} (layer ${dep_layer})")
    endif()
  endforeach()
endfunction()

function(hadal_library)
  cmake_parse_arguments(ARG "" "NAME;LAYER" "SRCS;HDRS;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${ARG_NAME} STATIC ${ARG_SRCS})
  target_sources(${ARG_NAME} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}
                                    FILES ${ARG_HDRS})
  set_target_properties(${ARG_NAME} PROPERTIES HADAL_LAYER ${ARG_LAYER}
                                               VERIFY_INTERFACE_HEADER_SETS ON)
  target_link_libraries(${ARG_NAME} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  hadal_target_options(${ARG_NAME})
  hadal_check_layers(${ARG_NAME} ${ARG_LAYER} ${ARG_DEPS} ${ARG_PRIVATE_DEPS})
  if(BUILD_TESTING AND NOT HADAL_SANITIZE) # once is enough
    add_executable(${ARG_NAME}_link_test ${PROJECT_SOURCE_DIR}/tests/support/link_test_main.cc)
    target_link_libraries(${ARG_NAME}_link_test
                          PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,${ARG_NAME}>")
    hadal_target_options(${ARG_NAME}_link_test)
    add_test(NAME ${ARG_NAME}_link_test COMMAND ${ARG_NAME}_link_test)
    set_tests_properties(${ARG_NAME}_link_test PROPERTIES LABELS tidy)
  endif()
endfunction()

function(hadal_program)
  cmake_parse_arguments(ARG "" "NAME;LAYER" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS})
  hadal_target_options(${ARG_NAME})
  hadal_check_layers(${ARG_NAME} ${ARG_LAYER} ${ARG_DEPS})
endfunction()

function(hadal_test)
  cmake_parse_arguments(ARG "THREADED" "NAME;LABEL;TIMEOUT" "SRCS;DEPS" ${ARGN})
  foreach(source IN LISTS ARG_SRCS)
    set_property(GLOBAL APPEND PROPERTY HADAL_TEST_SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  endforeach()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} GTest::gmock_main)
  target_compile_definitions(${ARG_NAME} PRIVATE HADAL_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  hadal_target_options(${ARG_NAME})
  # What takes time when tests run lies in libraries.
  target_compile_options(${ARG_NAME} PRIVATE $<$<CONFIG:Release>:-O1>)
  hadal_compile_together(${ARG_NAME})
  if(ARG_THREADED)
    add_custom_target(run_${ARG_NAME} COMMAND ${ARG_NAME} --gtest_brief=1 USES_TERMINAL)
    add_dependencies(run_threaded_tests run_${ARG_NAME})
  endif()
  gtest_discover_tests(${ARG_NAME} DISCOVERY_MODE PRE_TEST
                       PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()

function(hadal_fuzz)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  foreach(source IN LISTS ARG_SRCS)
    set_property(GLOBAL APPEND PROPERTY HADAL_TEST_SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  endforeach()
  if(NOT HADAL_FUZZ)
    return()
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS})
  hadal_target_options(${ARG_NAME})
  target_link_options(${ARG_NAME} PRIVATE -fsanitize=fuzzer)
  add_dependencies(all_fuzz_targets ${ARG_NAME})
endfunction()

if(HADAL_PRECOMPILE)
  target_compile_options(precompiled_headers PRIVATE -pthread)
  hadal_target_options(precompiled_headers)
endif()

# Call last: a test source that no target claims is a configuration error.
function(hadal_check_all_tests_claimed)
  get_property(claimed GLOBAL PROPERTY HADAL_TEST_SOURCES)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/*_test.cc
       ${PROJECT_SOURCE_DIR}/tests/*_fuzz.cc)
  foreach(source IN LISTS sources)
    if(NOT source IN_LIST claimed)
      message(FATAL_ERROR "no target claims the test ${source}")
    endif()
  endforeach()
endfunction()
