# CUDA sources, compiled by nvcc for Hopper. CMake 3.25 does not know C++20 with the compilers of
# CUDA 13, so nvcc is called as a command.
#
#   hadal_cuda_sources(TARGET kernels SRCS cuda/linear.cu ...)
#
# sets HADAL_WITH_CUDA for everybody: whether the toolkit was found, as HADAL_CUDA asks for it.

set(HADAL_WITH_CUDA OFF)
if(NOT HADAL_CUDA STREQUAL "OFF")
  if(HADAL_CUDA STREQUAL "ON")
    find_package(CUDAToolkit REQUIRED)
  else()
    find_package(CUDAToolkit QUIET)
  endif()
  if(CUDAToolkit_NVCC_EXECUTABLE AND TARGET CUDA::cudart_static)
    set(HADAL_WITH_CUDA ON)
  endif()
endif()

set(HADAL_NVCC_OPTIONS
    -std=c++20 -O3 -gencode=arch=compute_90a,code=sm_90a --expt-relaxed-constexpr -Xptxas=-v
    -Werror=all-warnings -diag-suppress=554 # a view's conversion to const, of a view of const
    -Xcompiler=-Wall,-Wextra)

function(hadal_cuda_sources)
  cmake_parse_arguments(ARG "" "TARGET" "SRCS" ${ARGN})
  get_target_property(type ${ARG_TARGET} TYPE)
  set(scope PRIVATE)
  if(type STREQUAL "STATIC_LIBRARY")
    set(scope PUBLIC)
  endif()
  foreach(source IN LISTS ARG_SRCS)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${source}.o)
    get_filename_component(folder ${object} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${PROJECT_SOURCE_DIR}/cmake/checked_nvcc ${CCACHE_PROGRAM}
              ${CUDAToolkit_NVCC_EXECUTABLE} ${HADAL_NVCC_OPTIONS} -I${PROJECT_SOURCE_DIR}
              -MD -MF ${object}.d -MT ${object}
              -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
      DEPENDS ${source} ${PROJECT_SOURCE_DIR}/cmake/checked_nvcc
      DEPFILE ${object}.d
      COMMENT "Building CUDA object ${source}"
      VERBATIM)
    target_sources(${ARG_TARGET} PRIVATE ${object})
  endforeach()
  target_link_libraries(${ARG_TARGET} ${scope} CUDA::cudart_static)
endfunction()
