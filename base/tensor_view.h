#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/check.h"

namespace hadal {

/// A borrowed, typed view of a tensor. The last dimension is contiguous; the others have strides,
/// in elements. Copying copies the view.
///
///   TensorView<float, 2> x = MakeView(buffer, num_tokens, hidden_size);
///   std::span<float> row = x.Row(token);
template <typename T, size_t Rank>
struct TensorView {
  static_assert(Rank >= 1);

  T* data = nullptr;
  std::array<int64_t, Rank> extents = {};
  std::array<int64_t, Rank> strides = {};  // strides[Rank - 1] == 1

  [[nodiscard]] int64_t extent(size_t dimension) const { return extents[dimension]; }

  [[nodiscard]] int64_t num_elements() const {
    int64_t product = 1;
    for (const int64_t e : extents) {
      product *= e;
    }
    return product;
  }

  template <typename... Index>
  requires(sizeof...(Index) == Rank) T& operator()(Index... index) const {
    return data[Offset(std::array<int64_t, Rank>{static_cast<int64_t>(index)...})];
  }

  /// The contiguous elements of the last dimension at the given leading indices.
  template <typename... Index>
  requires(sizeof...(Index) == Rank - 1) [[nodiscard]] std::span<T> Row(Index... index) const {
    return {data + Offset(std::array<int64_t, Rank>{static_cast<int64_t>(index)..., 0}),
            static_cast<size_t>(extents[Rank - 1])};
  }

  /// The same tensor with only entries [begin, begin + count) of the first dimension.
  [[nodiscard]] TensorView Slice(int64_t begin, int64_t count) const {
    DCHECK(begin >= 0 && count >= 0 && begin + count <= extents[0]);
    TensorView slice = *this;
    slice.data = data + begin * strides[0];
    slice.extents[0] = count;
    return slice;
  }

  // A mutable view is usable as a view of const elements.
  // NOLINTNEXTLINE(google-explicit-constructor)
  operator TensorView<const T, Rank>() const requires(!std::is_const_v<T>) {
    return {data, extents, strides};
  }

 private:
  [[nodiscard]] int64_t Offset(const std::array<int64_t, Rank>& index) const {
    int64_t offset = 0;
    for (size_t i = 0; i < Rank; ++i) {
      DCHECK(index[i] >= 0 && index[i] <= extents[i]);
      offset += index[i] * strides[i];
    }
    return offset;
  }
};

/// A dense view of `data` with the given extents.
template <typename T, typename... Extent>
TensorView<T, sizeof...(Extent)> MakeView(T* data, Extent... extent) {
  TensorView<T, sizeof...(Extent)> view{data, {static_cast<int64_t>(extent)...}, {}};
  int64_t stride = 1;
  for (size_t i = sizeof...(Extent); i-- > 0;) {
    view.strides[i] = stride;
    stride *= view.extents[i];
  }
  return view;
}

}  // namespace hadal
