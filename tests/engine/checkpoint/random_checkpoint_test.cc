#include "engine/checkpoint/random_checkpoint.h"

#include <cmath>
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "engine/checkpoint/weight_map.h"
#include "tests/support/checkpoint_writer.h"
#include "tests/support/test_folder.h"

namespace hadal {
namespace {

// The tiny configuration of the tests without its quantisation.
boost::json::object PlainConfig() {
  boost::json::object config = TinyConfig();
  config.erase("quantization_config");
  return config;
}

std::string WeightBytes(const boost::json::object& config, uint64_t seed) {
  const std::string dir = FreshTestFolder();
  EXPECT_EQ(WriteRandomCheckpoint(config, seed, dir), absl::OkStatus());
  const absl::StatusOr<MappedFile> file = MappedFile::Open(dir + "/model.safetensors");
  EXPECT_EQ(file.status(), absl::OkStatus());
  return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
}

double RootMeanSquare(const TensorInfo& tensor) {
  double sum = 0;
  const size_t count = tensor.data.size() / sizeof(bf16);
  for (size_t i = 0; i < count; ++i) {
    bf16 value{};
    std::memcpy(&value, tensor.data.data() + i * sizeof(bf16), sizeof(bf16));
    sum += double{ToFloat(value)} * double{ToFloat(value)};
  }
  return std::sqrt(sum / static_cast<double>(count));
}

TEST(RandomCheckpointTest, HoldsWhatTheBuiltInConfigAsksFor) {
  const absl::StatusOr<Checkpoint> checkpoint = MakeRandomCheckpoint(RandomModelConfig(), 0);
  ASSERT_EQ(checkpoint.status(), absl::OkStatus());
  const ModelConfig& config = checkpoint->config();
  EXPECT_FALSE(config.IsMoeLayer(0));
  EXPECT_TRUE(config.IsMoeLayer(1));
  EXPECT_EQ(config.num_nextn_predict_layers, 0);
  EXPECT_EQ(checkpoint->tensors().size(), ListExpectedTensors(config).size());
  int64_t num_parameters = 0;
  for (const ExpectedTensor& tensor : ListExpectedTensors(config)) {
    num_parameters += tensor.num_elements();
  }
  EXPECT_GT(num_parameters, 4'000'000);
  EXPECT_LT(num_parameters, 10'000'000);
}

TEST(RandomCheckpointTest, NothingStaysOnDiskAndTheWeightsStayReadable) {
  const absl::StatusOr<Checkpoint> checkpoint = MakeRandomCheckpoint(RandomModelConfig(), 0);
  ASSERT_EQ(checkpoint.status(), absl::OkStatus());
  EXPECT_FALSE(std::filesystem::exists(checkpoint->dir()));
  EXPECT_EQ(RootMeanSquare(checkpoint->Get("model.norm.weight")), 1);
  EXPECT_NEAR(RootMeanSquare(checkpoint->Get("model.embed_tokens.weight")), 1, 0.01);
  EXPECT_NEAR(RootMeanSquare(checkpoint->Get("lm_head.weight")), 2.0 / 16, 0.002);
  EXPECT_NEAR(RootMeanSquare(checkpoint->Get("model.layers.1.mlp.gate.weight")), 1.5 / 16, 0.005);
  EXPECT_NEAR(
      RootMeanSquare(checkpoint->Get("model.layers.0.self_attn.q_a_proj.weight")), 1.0 / 16, 0.001);
}

TEST(RandomCheckpointTest, EqualSeedsGiveEqualBytes) {
  const std::string bytes = WeightBytes(PlainConfig(), 7);
  EXPECT_EQ(WeightBytes(PlainConfig(), 7), bytes);
  EXPECT_NE(WeightBytes(PlainConfig(), 8), bytes);
}

TEST(RandomCheckpointTest, TensorsOfOneShapeDiffer) {
  const absl::StatusOr<Checkpoint> checkpoint = MakeRandomCheckpoint(RandomModelConfig(), 0);
  ASSERT_EQ(checkpoint.status(), absl::OkStatus());
  const TensorInfo& first = checkpoint->Get("model.layers.1.mlp.experts.0.up_proj.weight");
  const TensorInfo& second = checkpoint->Get("model.layers.1.mlp.experts.1.up_proj.weight");
  ASSERT_EQ(first.data.size(), second.data.size());
  EXPECT_NE(std::memcmp(first.data.data(), second.data.data(), first.data.size()), 0);
}

TEST(RandomCheckpointTest, FloatWeightsAndMtpLayersOpenToo) {
  boost::json::object config = PlainConfig();
  config["torch_dtype"] = "float32";
  const absl::StatusOr<Checkpoint> checkpoint = MakeRandomCheckpoint(config, 1);
  ASSERT_EQ(checkpoint.status(), absl::OkStatus());
  EXPECT_EQ(checkpoint->config().num_nextn_predict_layers, 1);
}

TEST(RandomCheckpointTest, ErrorsNameWhatIsWrong) {
  boost::json::object config = PlainConfig();
  config.erase("hidden_size");
  EXPECT_EQ(MakeRandomCheckpoint(config, 0).status().code(), absl::StatusCode::kInvalidArgument);
  const std::string missing = FreshTestFolder() + "/missing";
  const absl::Status status = WriteRandomCheckpoint(PlainConfig(), 0, missing);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(MessageOf(status).find(missing), std::string_view::npos);
}

}  // namespace
}  // namespace hadal
