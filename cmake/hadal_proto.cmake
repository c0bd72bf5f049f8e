# Protocol buffers: generated code exists in the build folder alone.
#
#   hadal_proto(NAME inference_proto PROTOS hadal/v1/inference.proto)
#
# The paths are those below proto/, as other .proto files and clients import them. C++ includes
# "proto/hadal/v1/inference.pb.h", and "proto/hadal/v1/inference.grpc.pb.h" for services. The target
# is of layer 1.

function(hadal_proto)
  cmake_parse_arguments(ARG "" "NAME" "PROTOS" ${ARGN})
  set(root ${PROJECT_SOURCE_DIR}/proto)
  set(out ${PROJECT_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${out}/proto)
  set(sources "")
  foreach(proto IN LISTS ARG_PROTOS)
    string(REGEX REPLACE "\\.proto$" "" stem ${out}/proto/${proto})
    set(outputs ${stem}.pb.cc ${stem}.pb.h ${stem}.grpc.pb.cc ${stem}.grpc.pb.h)
    add_custom_command(
      OUTPUT ${outputs}
      COMMAND protobuf::protoc --proto_path=${root} --cpp_out=${out}/proto --grpc_out=${out}/proto
              --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin> ${proto}
      DEPENDS ${root}/${proto}
      VERBATIM)
    list(APPEND sources ${outputs})
  endforeach()
  add_library(${ARG_NAME} STATIC ${sources})
  set_target_properties(${ARG_NAME} PROPERTIES HADAL_LAYER 1 DISABLE_PRECOMPILE_HEADERS ON)
  target_link_libraries(${ARG_NAME} PUBLIC gRPC::grpc++ protobuf::libprotobuf)
  hadal_target_options(${ARG_NAME})
  # Not our code: it is held to no warnings, where it is compiled and where it is included.
  target_compile_options(${ARG_NAME} PRIVATE -w)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 sees overlapping copies in setters of texts that it inlines.
    target_compile_options(${ARG_NAME} INTERFACE -Wno-restrict)
  endif()
  target_include_directories(${ARG_NAME} SYSTEM PUBLIC ${out} ${out}/proto)
endfunction()
