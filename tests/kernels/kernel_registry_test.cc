#include "kernels/kernel_registry.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string ErrorOf(std::string_view selection, absl::StatusCode code) {
  const auto table = BuildKernelTable(selection);
  EXPECT_EQ(table.status().code(), code) << selection;
  return std::string(MessageOf(table.status()));
}

TEST(KernelRegistryTest, BackEndsAreListedBestFirst) {
  const std::vector<std::string> names = AvailableBackEnds();
  EXPECT_EQ(names.back(), "reference");
  EXPECT_EQ(names[names.size() - 2], "cpu-portable");
  const auto avx2 = std::find(names.begin(), names.end(), "cpu-avx2");
  const auto avx512 = std::find(names.begin(), names.end(), "cpu-avx512");
  EXPECT_TRUE(avx512 == names.end() || avx512 < avx2);
}

TEST(KernelRegistryTest, EveryBackEndFillsEveryEntry) {
  for (const std::string& name : AvailableBackEnds()) {
    auto table = BuildKernelTable(name);
    ASSERT_TRUE(table.ok()) << name;
    int num_ops = 0;
    KernelTable::ForEachOp(
        [&](const char* /*op*/, const auto& kernel) {
          ++num_ops;
          EXPECT_EQ(kernel.implementation, name);
          EXPECT_NE(kernel.function, nullptr);
        },
        *table);
    EXPECT_EQ(num_ops, 11);
  }
}

TEST(KernelRegistryTest, AutoIsTheBest) {
  const auto table = BuildKernelTable("auto");
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(table->linear.implementation, AvailableBackEnds().front());
}

TEST(KernelRegistryTest, SingleOpsAreReplaced) {
  const auto table = BuildHostKernelTable("cpu-portable,mla_attention=reference,linear=auto");
  ASSERT_TRUE(table.ok());
  EXPECT_STREQ(table->mla_attention.implementation, "reference");
  EXPECT_EQ(table->linear.implementation, AvailableBackEnds().front());
  EXPECT_STREQ(table->mlp.implementation, "cpu-portable");
  // The last one wins.
  const auto twice = BuildKernelTable("cpu-portable,mlp=reference,mlp=cpu-portable");
  ASSERT_TRUE(twice.ok());
  EXPECT_STREQ(twice->mlp.implementation, "cpu-portable");
}

TEST(KernelRegistryTest, ErrorsNameThePart) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(ErrorOf("avx9", kInvalid),
              StartsWith("no kernels named \"avx9\"; this machine has: auto, "));
  EXPECT_THAT(ErrorOf("avx9", kInvalid), HasSubstr("cpu-portable, reference"));
  EXPECT_THAT(ErrorOf("", kInvalid), StartsWith("no kernels named \"\""));
  EXPECT_THAT(ErrorOf("auto,linear=fast", kInvalid), StartsWith("no kernels named \"fast\""));
  EXPECT_EQ(ErrorOf("reference,attention=reference", kInvalid), "no op named \"attention\"");
  const std::string_view expected = ": expected op=kernels, such as linear=reference";
  EXPECT_EQ(ErrorOf("auto,linear", kInvalid), "\"linear\"" + std::string(expected));
  EXPECT_EQ(ErrorOf("auto,", kInvalid), "\"\"" + std::string(expected));
  EXPECT_EQ(ErrorOf("auto,a=b=c", kInvalid), "\"a=b=c\"" + std::string(expected));
}

TEST(KernelRegistryTest, KnownBackEndsThatCannotRunSayWhy) {
  const std::vector<std::string> names = AvailableBackEnds();
  for (const std::string name : {"cpu-avx2", "cpu-avx512"}) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      EXPECT_EQ(ErrorOf(name, absl::StatusCode::kUnimplemented),
                "kernels \"" + name + "\": this CPU lacks the instructions");
    }
  }
  const auto cuda = BuildKernelTable("cuda");
  if (!cuda.ok()) {
    EXPECT_TRUE(absl::IsUnimplemented(cuda.status()) || absl::IsUnavailable(cuda.status()));
    EXPECT_THAT(std::string(MessageOf(cuda.status())), testing::Not(testing::IsEmpty()));
  } else {
    EXPECT_EQ(
        ErrorOf("cuda,linear=reference", absl::StatusCode::kInvalidArgument),
        "\"linear=reference\": its tensors lie in the memory of cpu, those of cuda in cuda's");
    EXPECT_TRUE(BuildHostKernelTable("cuda,linear=reference").ok());
  }
}

TEST(KernelRegistryTest, DescribesOneOpALine) {
  const auto table = BuildKernelTable("reference,linear=cpu-portable");
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(Describe(*table),
            "embedding: reference\n"
            "rms_norm: reference\n"
            "linear: cpu-portable\n"
            "mlp: reference\n"
            "mla_project: reference\n"
            "mla_attention: reference\n"
            "moe_route: reference\n"
            "moe_experts: reference\n"
            "gather_rows: reference\n"
            "check_finite: reference\n"
            "sample: reference");
}

}  // namespace
}  // namespace hadal
