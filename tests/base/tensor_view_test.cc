#include "base/tensor_view.h"

#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(TensorViewTest, IndexesRowMajorWithStrides) {
  std::vector<float> data(24);
  std::iota(data.begin(), data.end(), 0.0F);
  const TensorView<float, 3> view = MakeView(data.data(), 2, 3, 4);
  EXPECT_EQ(view(1, 2, 3), 23.0F);
  EXPECT_EQ(view.Row(1, 0)[1], 13.0F);
  EXPECT_EQ(view.num_elements(), 24);

  TensorView<float, 2> columns = MakeView(data.data(), 6, 2);
  columns.strides[0] = 4;  // the first two of every four
  EXPECT_EQ(columns(3, 1), 13.0F);
}

TEST(TensorViewTest, SliceAndConstShareTheData) {
  std::vector<int> data = {0, 1, 2, 3, 4, 5};
  const TensorView<int, 2> view = MakeView(data.data(), 3, 2);
  const TensorView<const int, 2> tail = view.Slice(1, 2);
  view(2, 0) = 40;
  EXPECT_EQ(tail.extent(0), 2);
  EXPECT_EQ(tail(1, 0), 40);
}

}  // namespace
}  // namespace hadal
