#include "engine/model/kv_cache.h"

#include <cstring>
#include <numeric>

#include <gtest/gtest.h>

#include "engine/checkpoint/model_summary.h"
#include "tests/support/golden.h"

namespace hadal {
namespace {

KvCache MakeCache(const ModelConfig& config, MtpCache mtp, DType dtype, int64_t num_blocks) {
  auto cache = KvCache::Create({.config = config,
                                .mtp = mtp,
                                .dtype = dtype,
                                .num_blocks = num_blocks,
                                .device = CpuDevice()});
  CHECK(cache.ok());
  return *std::move(cache);
}

TEST(KvCacheTest, BytesAreBlocksTimesBytesPerBlock) {
  const Golden golden = Golden::Load("v3-bf16");
  const ModelConfig& config = golden.config();
  for (const auto& [mtp, num_layers] : {std::pair{MtpCache::kNone, config.num_hidden_layers},
                                        {MtpCache::kIncluded, config.num_hidden_layers + 1}}) {
    for (const DType dtype : {DType::kBf16, DType::kF32}) {
      KvCache cache = MakeCache(config, mtp, dtype, 7);
      const int64_t block_bytes =
          num_layers * kBlockSize * config.latent_row_width() * (dtype == DType::kBf16 ? 2 : 4);
      EXPECT_EQ(CacheBytesPerBlock(config, mtp, dtype), block_bytes);
      EXPECT_EQ(cache.size_bytes(), static_cast<size_t>(7 * block_bytes));
      EXPECT_EQ(cache.layer(num_layers - 1).num_blocks, 7);
    }
  }
}

// `inspect` plans by tokens, the server by blocks.
TEST(KvCacheTest, ABlockIsSixtyFourTokensOfThePlan) {
  const Golden golden = Golden::Load("v3-fp8");
  for (const DType dtype : {DType::kBf16, DType::kF32, DType::kI8, DType::kFp8E4m3}) {
    EXPECT_EQ(CacheBytesPerBlock(golden.config(), MtpCache::kNone, dtype),
              kBlockSize * CacheBytesPerToken(golden.config(), dtype));
  }
}

TEST(KvCacheTest, DefaultElementTypeFollowsTheCheckpoint) {
  EXPECT_EQ(DefaultCacheDType(Golden::Load("v3-f32").config()), DType::kF32);
  EXPECT_EQ(DefaultCacheDType(Golden::Load("v3-fp8").config()), DType::kBf16);
  EXPECT_EQ(DefaultCacheDType(Golden::Load("v2-sharded").config()), DType::kBf16);
}

// The bytes of a block in all layers.
std::vector<std::byte> BlockBytes(KvCache& cache, int64_t num_layers, int64_t block) {
  std::vector<std::byte> bytes;
  for (int64_t i = 0; i < num_layers; ++i) {
    const LatentCache& layer = cache.layer(i);
    const int64_t block_bytes = layer.block_size * RowBytes(layer);
    const auto* begin = static_cast<const std::byte*>(layer.rows) + block * block_bytes;
    bytes.insert(bytes.end(), begin, begin + block_bytes);
  }
  return bytes;
}

TEST(KvCacheTest, CopyBlockCopiesEveryLayerAndNothingElse) {
  const Golden golden = Golden::Load("v3-bf16");
  const int64_t num_layers = golden.config().num_hidden_layers + 1;
  for (const DType dtype : {DType::kBf16, DType::kF32, DType::kI8, DType::kFp8E4m3}) {
    KvCache cache = MakeCache(golden.config(), MtpCache::kIncluded, dtype, 4);
    int64_t next = 0;
    for (int64_t i = 0; i < num_layers; ++i) {
      const LatentCache& layer = cache.layer(i);
      const int64_t num_bytes = 4 * layer.block_size * RowBytes(layer);
      for (int64_t byte = 0; byte < num_bytes; ++byte) {
        static_cast<uint8_t*>(layer.rows)[byte] = static_cast<uint8_t>(next++ % 251);
      }
    }
    std::vector<std::vector<std::byte>> expected;
    for (int64_t block = 0; block < 4; ++block) {
      expected.push_back(BlockBytes(cache, num_layers, block));
    }
    ASSERT_NE(expected[2], expected[1]);
    cache.CopyBlock(2, 1);
    expected[1] = expected[2];
    for (int64_t block = 0; block < 4; ++block) {
      EXPECT_EQ(BlockBytes(cache, num_layers, block), expected[static_cast<size_t>(block)]);
    }
  }
}

TEST(KvCacheDeathTest, CopyBlockStaysInsideTheCache) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Golden golden = Golden::Load("kimi");
  KvCache cache = MakeCache(golden.config(), MtpCache::kNone, DType::kBf16, 3);
  EXPECT_DEATH(cache.CopyBlock(0, 3), "destination");
  EXPECT_DEATH(cache.CopyBlock(-1, 0), "source");
  EXPECT_DEATH(cache.CopyBlock(1, 1), "source");
}

}  // namespace
}  // namespace hadal
