#include "engine/model/weights.h"

#include <cstdint>

#include <gtest/gtest.h>

#include "tests/support/checkpoint_writer.h"

namespace hadal {
namespace {

void Ignore(int64_t /*done*/, int64_t /*total*/) {}

absl::StatusOr<Weights> Load(const Checkpoint& checkpoint, Weights::Progress progress) {
  ThreadPool pool(2);
  return Weights::Load({.checkpoint = checkpoint,
                        .packing = WeightPacking::kNative,
                        .packed_folder = "",
                        .read_ahead = Weights::ReadAhead::kAll,
                        .pool = pool,
                        .progress = progress});
}

absl::StatusOr<Checkpoint> Open(const TestCheckpoint& checkpoint) {
  return Checkpoint::Open(WriteFolder(ToFiles(checkpoint)));
}

TEST(WeightsTest, HasEveryPartOfTheConfig) {
  const auto checkpoint = Open(MakeTestCheckpoint(TinyConfig()));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto weights = Load(*checkpoint, Ignore);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const ModelConfig& config = checkpoint->config();
  ASSERT_EQ(std::ssize(weights->layers), config.num_hidden_layers);
  EXPECT_TRUE(std::holds_alternative<MlpWeights>(weights->layers[0].mlp));
  const auto& moe = std::get<MoeWeights>(weights->layers[1].mlp);
  EXPECT_EQ(std::ssize(moe.experts), config.n_routed_experts);
  EXPECT_EQ(moe.e_score_correction_bias.extent(0), config.n_routed_experts);
  EXPECT_EQ(std::ssize(weights->mtp), config.num_nextn_predict_layers);
  const WeightMatrix& q_b_proj = weights->layers[0].mla_project.q_b_proj;
  EXPECT_EQ(q_b_proj.format, WeightFormat::kFp8Block);
  EXPECT_EQ(WeightAt(q_b_proj, q_b_proj.rows - 1, q_b_proj.cols - 1), 1.0F);
  EXPECT_EQ(weights->norm(0), 1.0F);
}

TEST(WeightsTest, ProgressRisesToTheWhole) {
  const auto checkpoint = Open(MakeTestCheckpoint(TinyConfig()));
  ASSERT_TRUE(checkpoint.ok());
  int64_t last = 0;
  const auto weights = Load(*checkpoint, [&](int64_t done, int64_t total) {
    EXPECT_GT(done, last);
    EXPECT_EQ(total, checkpoint->total_bytes());
    last = done;
  });
  EXPECT_TRUE(weights.ok());
  EXPECT_EQ(last, checkpoint->total_bytes());
}

struct BegunCopy {
  void* to;
  const void* from;
  size_t size_bytes;
};
std::vector<BegunCopy> begun_copies;

// Memory of the host that is called another device, and gets what is copied as late as it may.
Device MakeDevice(int64_t (*available_bytes)()) {
  Device device = CpuDevice();
  device.is_host = false;
  device.begin_copy = [](void* to, const void* from, size_t size_bytes) {
    begun_copies.push_back({to, from, size_bytes});
  };
  device.finish_copies = [] {
    for (const BegunCopy& copy : begun_copies) {
      CopyHost(copy.to, copy.from, copy.size_bytes);
    }
    begun_copies.clear();
  };
  device.available_bytes = available_bytes;
  return device;
}

TEST(WeightsTest, OnADeviceExpertsLieAtEqualDistances) {
  const auto checkpoint = Open(MakeTestCheckpoint(TinyConfig()));
  ASSERT_TRUE(checkpoint.ok());
  const auto host = Load(*checkpoint, Ignore);
  ASSERT_TRUE(host.ok());
  const Device device = MakeDevice([] { return int64_t{1} << 30; });
  int64_t last = 0;
  const auto weights = host->CopyTo(device, [&](int64_t done, int64_t total) {
    EXPECT_LE(done, total);
    EXPECT_GT(done, last);
    last = done;
  });
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_TRUE(begun_copies.empty());
  const auto& moe = std::get<MoeWeights>(weights->layers[1].mlp);
  const auto& expected = std::get<MoeWeights>(host->layers[1].mlp);
  ASSERT_GT(moe.experts.size(), 2U);
  const auto place = [&](size_t i) {
    return static_cast<const std::byte*>(moe.experts[i].up_proj.payload);
  };
  for (size_t i = 0; i < moe.experts.size(); ++i) {
    const WeightMatrix& matrix = moe.experts[i].up_proj;
    EXPECT_EQ(place(i) - place(0), static_cast<int64_t>(i) * (place(1) - place(0)));
    EXPECT_NE(matrix.payload, expected.experts[i].up_proj.payload);
    EXPECT_EQ(WeightAt(matrix, 1, 1), WeightAt(expected.experts[i].up_proj, 1, 1));
  }
}

int64_t allocated_bytes = 0;

TEST(WeightsTest, ADeviceHoldsWhatIsPlannedOrLess) {
  const auto checkpoint = Open(MakeTestCheckpoint(TinyConfig()));
  ASSERT_TRUE(checkpoint.ok());
  for (const WeightPacking packing : kWeightPackings) {
    Device device = MakeDevice(nullptr);
    device.allocate = [](size_t size_bytes) {
      allocated_bytes += static_cast<int64_t>(size_bytes);
      return CpuDevice().allocate(size_bytes);
    };
    allocated_bytes = 0;
    ThreadPool pool(1);
    const auto weights = Weights::Load({.checkpoint = *checkpoint,
                                        .packing = packing,
                                        .packed_folder = "",
                                        .read_ahead = Weights::ReadAhead::kNone,
                                        .pool = pool,
                                        .progress = Ignore,
                                        .device = device});
    ASSERT_TRUE(weights.ok()) << weights.status();
    const int64_t planned_bytes = Weights::DeviceBytes(*checkpoint, packing);
    EXPECT_LE(allocated_bytes, planned_bytes);
    EXPECT_GT(2 * allocated_bytes, planned_bytes);
  }
}

TEST(WeightsTest, ADeviceWithoutRoomIsResourceExhausted) {
  const auto checkpoint = Open(MakeTestCheckpoint(TinyConfig()));
  ASSERT_TRUE(checkpoint.ok());
  const auto host = Load(*checkpoint, Ignore);
  ASSERT_TRUE(host.ok());
  const Device device = MakeDevice([] { return int64_t{1000}; });
  const absl::Status status = host->CopyTo(device, Ignore).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(MessageOf(status).find("1000 bytes that device cpu has left"), std::string::npos);
}

TEST(WeightsTest, TiedEmbeddingsServeAsHead) {
  boost::json::object config = TinyConfig();
  config["tie_word_embeddings"] = true;
  TestCheckpoint files = MakeTestCheckpoint(config);
  files.Remove("lm_head.weight");
  const auto checkpoint = Open(files);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto weights = Load(*checkpoint, Ignore);
  ASSERT_TRUE(weights.ok());
  EXPECT_EQ(weights->lm_head.payload, weights->embed_tokens.payload);
  const Device device = MakeDevice(nullptr);
  const auto copy = weights->CopyTo(device, Ignore);
  ASSERT_TRUE(copy.ok());
  EXPECT_NE(copy->lm_head.payload, weights->lm_head.payload);
  EXPECT_EQ(copy->lm_head.payload, copy->embed_tokens.payload);
}

// Files may put tensors anywhere: those whose elements are not aligned are copied.
TEST(WeightsTest, EveryMatrixAndScaleIsAligned) {
  const auto checkpoint = Open(MakeTestCheckpoint(TinyConfig()));
  ASSERT_TRUE(checkpoint.ok());
  const auto is_aligned = [](const void* data, uintptr_t bytes) {
    return reinterpret_cast<uintptr_t>(data) % bytes == 0;
  };
  int num_unaligned = 0;
  for (const TensorInfo& tensor : checkpoint->tensors()) {
    num_unaligned +=
        is_aligned(tensor.data.data(), static_cast<uintptr_t>(SizeOf(tensor.dtype))) ? 0 : 1;
  }
  EXPECT_GT(num_unaligned, 0) << "the writer no longer makes the case that this test is for";
  const auto weights = Load(*checkpoint, Ignore);
  ASSERT_TRUE(weights.ok());
  const auto expect_aligned = [&](const WeightMatrix& matrix) {
    const bool is_fp8 = matrix.format == WeightFormat::kFp8Block;
    EXPECT_TRUE(is_aligned(matrix.payload, is_fp8 ? 1 : 2));
    EXPECT_TRUE(is_aligned(matrix.scales, alignof(float)));
  };
  expect_aligned(weights->embed_tokens);
  expect_aligned(weights->lm_head);
  for (const LayerWeights& layer : weights->layers) {
    expect_aligned(layer.kv_b_proj.whole);
    expect_aligned(layer.o_proj);
    expect_aligned(layer.mla_project.q_a_proj);
    expect_aligned(layer.mla_project.q_b_proj);
    if (const auto* moe = std::get_if<MoeWeights>(&layer.mlp)) {
      expect_aligned(moe->gate);
      for (const MlpWeights& expert : moe->experts) {
        expect_aligned(expert.down_proj);
      }
    }
  }
}

}  // namespace
}  // namespace hadal
