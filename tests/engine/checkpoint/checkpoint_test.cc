#include "engine/checkpoint/checkpoint.h"

#include <algorithm>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/checkpoint/weight_map.h"
#include "tests/support/checkpoint_writer.h"

namespace hadal {
namespace {

using testing::ElementsAre;

absl::StatusOr<Checkpoint> Open(const TestCheckpoint& checkpoint) {
  return Checkpoint::Open(WriteFolder(ToFiles(checkpoint)));
}

TEST(CheckpointTest, OpensShardsByTheirIndex) {
  const std::string folder = WriteFolder(ToFiles(MakeTestCheckpoint(TinyConfig())));
  auto opened = Checkpoint::Open(folder);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const Checkpoint checkpoint = *std::move(opened);
  EXPECT_EQ(checkpoint.dir(), folder);
  EXPECT_EQ(checkpoint.config().hidden_size, 24);
  EXPECT_FALSE(checkpoint.mtp_dropped());
  EXPECT_EQ(checkpoint.tensors().size(), ListExpectedTensors(checkpoint.config()).size());

  const TensorInfo& scale = checkpoint.Get("model.layers.0.mlp.down_proj.weight_scale_inv");
  EXPECT_EQ(scale.dtype, DType::kF32);
  EXPECT_THAT(scale.shape, ElementsAre(3, 5));
  EXPECT_EQ(scale.data.size(), 60U);
  EXPECT_EQ(scale.file, folder + "/model-00001-of-00002.safetensors");
  EXPECT_EQ(checkpoint.Get("model.layers.1.mlp.gate.weight").file,
            folder + "/model-00002-of-00002.safetensors");
  EXPECT_EQ(checkpoint.Find("model.layers.9.mlp.gate.weight"), nullptr);
  int64_t total_bytes = 0;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    total_bytes += static_cast<int64_t>(tensor.data.size());
    EXPECT_EQ(checkpoint.Find(tensor.name), &tensor);
  }
  EXPECT_EQ(checkpoint.total_bytes(), total_bytes);
}

TEST(CheckpointTest, OpensOneFileWithoutIndex) {
  TestCheckpoint checkpoint = MakeTestCheckpoint(TinyConfig());
  auto& tensors = checkpoint.shards[0].tensors;
  tensors.insert(
      tensors.end(), checkpoint.shards[1].tensors.begin(), checkpoint.shards[1].tensors.end());
  checkpoint.shards.pop_back();
  checkpoint.shards[0].file_name = "model.safetensors";
  checkpoint.index.clear();
  const auto opened = Open(checkpoint);
  EXPECT_TRUE(opened.ok()) << opened.status();
}

TEST(CheckpointTest, TheIndexMayNameModelSafetensors) {
  TestCheckpoint checkpoint = MakeTestCheckpoint(TinyConfig());
  for (auto& member : checkpoint.index.at("weight_map").as_object()) {
    if (member.value() == "model-00001-of-00002.safetensors") {
      member.value() = "model.safetensors";
    }
  }
  checkpoint.shards[0].file_name = "model.safetensors";
  const auto opened = Open(checkpoint);
  EXPECT_TRUE(opened.ok()) << opened.status();
}

TEST(CheckpointTest, FollowsSymbolicLinksToFiles) {
  TestFiles files = ToFiles(MakeTestCheckpoint(TinyConfig()));
  files["blob"] = files["model-00001-of-00002.safetensors"];
  files.erase("model-00001-of-00002.safetensors");
  const std::string folder = WriteFolder(files);
  std::filesystem::create_symlink("blob", folder + "/model-00001-of-00002.safetensors");
  EXPECT_TRUE(Checkpoint::Open(folder).ok());
}

TEST(CheckpointTest, AcceptsEveryFloatForWhatIsNotQuantised) {
  TestCheckpoint checkpoint = MakeTestCheckpoint(TinyConfig());
  for (const auto& [name, dtype] :
       {std::pair("model.norm.weight", DType::kF32),
        std::pair("lm_head.weight", DType::kF16),
        std::pair("model.layers.1.mlp.gate.weight", DType::kF32),
        std::pair("model.layers.1.mlp.gate.e_score_correction_bias", DType::kBf16)}) {
    TestTensor& tensor = checkpoint.Get(name);
    tensor = MakeTestTensor(name, dtype, tensor.shape);
  }
  const auto opened = Open(checkpoint);
  EXPECT_TRUE(opened.ok()) << opened.status();
}

TEST(CheckpointTest, AMatrixOfAQuantisedModelMayBePlainWithoutScale) {
  TestCheckpoint checkpoint = MakeTestCheckpoint(TinyConfig());
  const std::string name = "model.layers.0.self_attn.o_proj.weight";
  checkpoint.Get(name) = MakeTestTensor(name, DType::kBf16, {24, 10});
  checkpoint.Remove(BlockScaleName(name));
  const auto opened = Open(checkpoint);
  EXPECT_TRUE(opened.ok()) << opened.status();
}

TEST(CheckpointTest, AZeroScaleIsFine) {
  TestCheckpoint checkpoint = MakeTestCheckpoint(TinyConfig());
  std::string& data = checkpoint.Get("model.layers.0.mlp.down_proj.weight_scale_inv").data;
  data.assign(data.size(), '\0');
  EXPECT_TRUE(Open(checkpoint).ok());
}

TEST(CheckpointTest, OpensAModelThatIsNotQuantised) {
  boost::json::object config = TinyConfig();
  config.erase("quantization_config");
  config["torch_dtype"] = "float32";
  const auto opened = Open(MakeTestCheckpoint(config));
  EXPECT_TRUE(opened.ok()) << opened.status();
}

TEST(CheckpointTest, TheMtpTablesMayBeLeftOut) {
  TestCheckpoint checkpoint = MakeTestCheckpoint(TinyConfig());
  checkpoint.Remove("model.layers.2.embed_tokens.weight");
  checkpoint.Remove("model.layers.2.shared_head.head.weight");
  const auto opened = Open(checkpoint);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->config().num_nextn_predict_layers, 1);
}

TEST(CheckpointTest, AnMtpLayerMayBeLeftOutAsAWhole) {
  TestCheckpoint checkpoint = MakeTestCheckpoint(TinyConfig());
  const auto config = ParseModelConfig(checkpoint.config);
  for (const ExpectedTensor& tensor : ListExpectedTensors(*config)) {
    if (tensor.layer == 2) {
      checkpoint.Remove(tensor.name);
    }
  }
  const auto opened = Open(checkpoint);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(opened->mtp_dropped());
  EXPECT_EQ(opened->config().num_nextn_predict_layers, 0);
}

TEST(CheckpointTest, ATiedHeadMayBeLeftOut) {
  boost::json::object config = TinyConfig();
  config["tie_word_embeddings"] = true;
  TestCheckpoint checkpoint = MakeTestCheckpoint(config);
  EXPECT_TRUE(Open(checkpoint).ok());
  checkpoint.Remove("lm_head.weight");
  EXPECT_TRUE(Open(checkpoint).ok());
}

TEST(CheckpointTest, RotaryBuffersAreIgnored) {
  TestCheckpoint checkpoint = MakeTestCheckpoint(TinyConfig());
  const std::string name = "model.layers.0.self_attn.rotary_emb.inv_freq";
  checkpoint.Add(name, DType::kF32, {2});
  const auto opened = Open(checkpoint);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->Find(name), nullptr);
}

// As many tensors as V3 has, each tiny.
TEST(CheckpointTest, NinetyThousandTensorsAreFast) {
  boost::json::object config = TinyConfig();
  config["num_hidden_layers"] = 61;
  config["first_k_dense_replace"] = 3;
  config["n_routed_experts"] = 256;
  config["hidden_size"] = 1;
  config["moe_intermediate_size"] = 1;
  const auto opened = Open(MakeTestCheckpoint(config));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->tensors().size(), 91'991U);
}

class GoldenCheckpointTest : public testing::TestWithParam<const char*> {};

TEST_P(GoldenCheckpointTest, Opens) {
  const std::string name = GetParam();
  const auto opened = Checkpoint::Open(std::string(HADAL_SOURCE_DIR) + "/tests/golden/" + name);
  ASSERT_TRUE(opened.ok()) << opened.status();
  // What transformers saves announces an MTP layer and does not hold it.
  EXPECT_EQ(opened->mtp_dropped(), name == "hf-saved-v3");
  EXPECT_EQ(opened->config().num_nextn_predict_layers,
            name == "v3-bf16" || name == "v3-fp8" ? 1 : 0);
}

INSTANTIATE_TEST_SUITE_P(Golden,
                         GoldenCheckpointTest,
                         testing::Values("hf-saved-v3",
                                         "kimi",
                                         "moonlight",
                                         "v2",
                                         "v2-lite",
                                         "v2-sharded",
                                         "v3-bf16",
                                         "v3-f32",
                                         "v3-fp8"),
                         [](const testing::TestParamInfo<const char*>& golden) {
                           std::string name = golden.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hadal
