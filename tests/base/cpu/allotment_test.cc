#include "base/cpu/allotment.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

TEST(CpuAllotmentTest, OneThreadForEachCore) {
  const CpuAllotment allotment = {.cpu_ids = {0, 2, 1, 3}, .num_cores = 2, .quota = {}};
  EXPECT_EQ(DefaultNumThreads(allotment), 2);
  EXPECT_EQ(NumRunningThreads(allotment), 4);
}

TEST(CpuAllotmentTest, NoMoreThanTheQuotaLetsRun) {
  CpuAllotment allotment = {.cpu_ids = {0, 1, 2, 3, 4, 5, 6, 7}, .num_cores = 4, .quota = 2.9};
  EXPECT_EQ(DefaultNumThreads(allotment), 2);
  EXPECT_EQ(NumRunningThreads(allotment), 2);
  allotment.quota = 6.0;
  EXPECT_EQ(DefaultNumThreads(allotment), 4);
  EXPECT_EQ(NumRunningThreads(allotment), 6);
  allotment.quota = 1e18;
  EXPECT_EQ(DefaultNumThreads(allotment), 4);
  EXPECT_EQ(NumRunningThreads(allotment), 8);
}

TEST(CpuAllotmentTest, AtLeastOneThread) {
  const CpuAllotment tight = {.cpu_ids = {0}, .num_cores = 1, .quota = 0.01};
  EXPECT_EQ(DefaultNumThreads(tight), 1);
  EXPECT_EQ(NumRunningThreads(tight), 1);
  const CpuAllotment unknown = {.cpu_ids = {}, .num_cores = 0, .quota = {}};
  EXPECT_EQ(DefaultNumThreads(unknown), 1);
  EXPECT_EQ(NumRunningThreads(unknown), 1);
}

TEST(CpuAllotmentTest, CoresCountWhereCpusAreNotKnown) {
  const CpuAllotment allotment = {.cpu_ids = {}, .num_cores = 6, .quota = {}};
  EXPECT_EQ(DefaultNumThreads(allotment), 6);
  EXPECT_EQ(NumRunningThreads(allotment), 6);
}

TEST(CpuAllotmentTest, OfThisMachine) {
  const CpuAllotment allotment = ReadCpuAllotment();
  EXPECT_GE(allotment.num_cores, 1);
  EXPECT_LE(DefaultNumThreads(allotment), NumRunningThreads(allotment));
}

}  // namespace
}  // namespace hadal
