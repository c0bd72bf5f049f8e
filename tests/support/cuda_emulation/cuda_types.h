#pragma once

// Types that CUDA C++ has of its own.

#include <cstdint>

struct dim3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
  // As in CUDA, so that `grid = n` works.
  // NOLINTNEXTLINE(google-explicit-constructor)
  constexpr dim3(unsigned x_extent = 1, unsigned y_extent = 1, unsigned z_extent = 1)
      : x(x_extent), y(y_extent), z(z_extent) {}
};

struct float2 {
  alignas(8) float x;
  float y;
};
struct float4 {
  alignas(16) float x;
  float y, z, w;
};
struct uint2 {
  alignas(8) uint32_t x;
  uint32_t y;
};
struct uint4 {
  alignas(16) uint32_t x;
  uint32_t y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}
inline float2 make_float2(float x, float y) {
  return {x, y};
}
