# Third-party libraries, each from Debian 12's packages (docs/adr/0008-dependencies.md says why).

# The program is one file that needs nothing but the C library: what Debian has as archives is
# linked into it. Sanitizer builds take the shared libraries, which link faster.
if(NOT HADAL_SANITIZE)
  set(Boost_USE_STATIC_LIBS ON)
  set(OPENSSL_USE_STATIC_LIBS ON)
  set(Protobuf_USE_STATIC_LIBS ON)
  add_link_options(-static-libstdc++ -static-libgcc)
endif()

find_package(Threads REQUIRED)
find_package(absl REQUIRED)                              # Status, FunctionRef, Mutex, flat_hash_map
find_package(Boost 1.81 REQUIRED COMPONENTS json context) # JSON without exceptions; HTTP
find_package(OpenSSL REQUIRED)                           # TLS, hashes of keys
find_package(Protobuf REQUIRED)                          # messages of gRPC
find_package(gRPC REQUIRED)                              # gRPC: server, health, reflection
find_package(yaml-cpp REQUIRED)                          # the configuration file
find_package(spdlog REQUIRED)                            # logs, as JSON lines; headers alone
find_package(CLI11 REQUIRED)                             # command line flags
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)          # XXH3, checksums at the speed of memory
mark_as_advanced(XXHASH_INCLUDE_DIR)

if(NOT HADAL_SANITIZE)
  include(archives)
  foreach(library absl::status absl::statusor absl::str_format absl::strings absl::synchronization
          absl::flat_hash_map absl::function_ref gRPC::grpc++ gRPC::grpc++_reflection yaml-cpp)
    hadal_prefer_archive(${library})
  endforeach()
endif()

if(BUILD_TESTING)
  find_package(GTest REQUIRED)                           # unit tests
  find_package(benchmark REQUIRED)                       # micro benchmarks
  include(GoogleTest)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
