#include "kernels/self_test/gather_rows.h"

namespace hadal::self_test {

GatherRowsProblem::GatherRowsProblem(const GatherShape& shape)
    : x(shape.num_rows, shape.width), rows(shape.num_gathered), y(shape.num_gathered, shape.width) {
  Random random(static_cast<uint32_t>(shape.num_gathered * 17 + shape.width));
  x.Fill([&] { return random.Normal(); });
  rows.Fill([&] { return static_cast<int32_t>(random.Below(shape.num_rows)); });
  if (shape.num_gathered > 0) {
    rows.view()(0) = static_cast<int32_t>(shape.num_rows - 1);
  }
}

}  // namespace hadal::self_test
