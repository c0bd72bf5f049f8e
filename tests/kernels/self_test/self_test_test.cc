#include "kernels/self_test/self_test.h"

#include <limits>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/kernel_runner.h"

namespace hadal {
namespace {

using self_test::OpResult;

constexpr self_test::WeightSpec kBf16 = {.format = WeightFormat::kBf16};
constexpr self_test::WeightSpec kFp8 = {
    .format = WeightFormat::kFp8Block, .block_rows = 128, .block_cols = 128};

std::vector<OpResult> RunOn(const KernelTable& table, const self_test::WeightSpec& weights) {
  const KernelTable reference = test::TableOf("reference");
  const self_test::ModelShape shape = self_test::OddShape();
  const SteadyClock clock;
  test::KernelRunner runner(2);
  std::vector<OpResult> results;
  self_test::RunSelfTest({.table = table,
                          .reference = reference,
                          .shape = shape,
                          .weights = weights,
                          .cache_dtype = DType::kBf16,
                          .context = runner.context,
                          .clock = clock},
                         [&results](const OpResult& result) { results.push_back(result); });
  return results;
}

std::set<std::string> OpNames() {
  std::set<std::string> names;
  KernelTable::ForEachOp([&names](const char* name) { names.insert(name); });
  return names;
}

TEST(SelfTestTest, EveryOpOfEveryBackEndPasses) {
  for (const std::string& back_end : AvailableBackEnds()) {
    for (const self_test::WeightSpec& weights : {kBf16, kFp8}) {
      std::set<std::string> ops;
      for (const OpResult& result : RunOn(test::TableOf(back_end), weights)) {
        EXPECT_TRUE(result.passed()) << result.op << ' ' << result.shape;
        EXPECT_EQ(result.implementation, back_end);
        EXPECT_GE(result.time, Duration::zero());
        EXPECT_LT(result.time, Duration::max());
        ops.insert(result.op);
      }
      EXPECT_EQ(ops, OpNames());
    }
  }
}

// The op, going wrong in several ways.

void RunLinear(const LinearArgs& args, ExecutionContext& context, float factor) {
  test::TableOf("reference").linear.function(args, context);
  args.y(args.y.extent(0) - 1, args.y.extent(1) - 1) *= factor;
}

void IsWrong(const LinearArgs& args, ExecutionContext& context) {
  RunLinear(args, context, 1.01F);
}

void IsNotFinite(const LinearArgs& args, ExecutionContext& context) {
  RunLinear(args, context, std::numeric_limits<float>::quiet_NaN());
}

void WritesBehindItsOutput(const LinearArgs& args, ExecutionContext& context) {
  RunLinear(args, context, 1);
  args.y.data[args.y.extent(1)] = 1;
}

void WritesBehindItsInput(const LinearArgs& args, ExecutionContext& context) {
  RunLinear(args, context, 1);
  const_cast<float*>(args.x.data)[args.x.extent(1)] = 1;
}

TEST(SelfTestTest, AFaultyOpFailsAndNoOther) {
  for (const auto function :
       {&IsWrong, &IsNotFinite, &WritesBehindItsOutput, &WritesBehindItsInput}) {
    KernelTable table = test::TableOf("auto");
    table.linear = {.implementation = "faulty", .function = function};
    for (const OpResult& result : RunOn(table, kBf16)) {
      EXPECT_EQ(result.passed(), result.op != "linear") << result.op << ' ' << result.shape;
      EXPECT_EQ(result.implementation == "faulty", result.op == "linear");
    }
  }
}

TEST(SelfTestTest, ErrorsAreSharesOfTheirTolerance) {
  KernelTable table = test::TableOf("auto");
  table.linear.function = &IsNotFinite;
  for (const OpResult& result : RunOn(table, kBf16)) {
    if (result.op == "linear") {
      EXPECT_EQ(result.worst_error_share, std::numeric_limits<double>::infinity());
      EXPECT_TRUE(result.stayed_inside);
    } else {
      EXPECT_LE(result.worst_error_share, 1);
    }
  }
}

// Dense models have no experts to route to.
TEST(SelfTestTest, WithoutExpertsTheirOpsAreLeftOut) {
  self_test::ModelShape shape = self_test::OddShape();
  shape.n_routed_experts = 0;
  const KernelTable table = test::TableOf("auto");
  const SteadyClock clock;
  test::KernelRunner runner(1);
  std::set<std::string> ops;
  self_test::RunSelfTest({.table = table,
                          .reference = test::TableOf("reference"),
                          .shape = shape,
                          .weights = kBf16,
                          .cache_dtype = DType::kF32,
                          .context = runner.context,
                          .clock = clock},
                         [&ops](const OpResult& result) { ops.insert(result.op); });
  EXPECT_EQ(ops.size(), OpNames().size() - 2);
  EXPECT_FALSE(ops.contains("moe_route"));
}

}  // namespace
}  // namespace hadal
