#include "tests/support/checkpoint_writer.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "base/check.h"
#include "engine/checkpoint/model_config.h"
#include "engine/checkpoint/weight_map.h"
#include "tests/support/test_folder.h"

namespace hadal {
namespace {

// The bytes of 1.0 in little-endian order.
std::string OneOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {'\x00', '\x00', '\x80', '\x3F'};
    case DType::kBf16:
      return {'\x80', '\x3F'};
    case DType::kF16:
      return {'\x00', '\x3C'};
    case DType::kFp8E4m3:
      return {'\x38'};
    case DType::kE8m0:
      return {'\x7F'};
    case DType::kI8:
    case DType::kU8:
      return {'\x01'};
    case DType::kI32:
      return {'\x01', '\x00', '\x00', '\x00'};
    case DType::kI64:
      return {'\x01', '\x00', '\x00', '\x00', '\x00', '\x00', '\x00', '\x00'};
  }
  CHECK(false);
}

DType DTypeOf(const ModelConfig& config, TensorRole role) {
  switch (role) {
    case TensorRole::kFp8Matrix:
      return DType::kFp8E4m3;
    case TensorRole::kMatrix:
    case TensorRole::kNorm:
      return config.dtype;
    case TensorRole::kGateBias:
    case TensorRole::kBlockScale:
      return DType::kF32;
  }
  CHECK(false);
}

std::string ShardBytes(const TestShard& shard) {
  boost::json::object header;
  std::string data;
  for (const TestTensor& tensor : shard.tensors) {
    const size_t begin = data.size();
    data += tensor.data;
    header[tensor.name] = {{"dtype", NameOf(tensor.dtype)},
                           {"shape", boost::json::array(tensor.shape.begin(), tensor.shape.end())},
                           {"data_offsets", {begin, data.size()}}};
  }
  return SafetensorsBytes(boost::json::serialize(header), data);
}

}  // namespace

TestTensor& TestCheckpoint::Get(std::string_view name) {
  for (TestShard& shard : shards) {
    for (TestTensor& tensor : shard.tensors) {
      if (tensor.name == name) {
        return tensor;
      }
    }
  }
  CHECK(false);
}

void TestCheckpoint::Remove(std::string_view name) {
  for (TestShard& shard : shards) {
    std::erase_if(shard.tensors, [&](const TestTensor& tensor) { return tensor.name == name; });
  }
  index.at("weight_map").as_object().erase(name);
}

void TestCheckpoint::Add(std::string_view name, DType dtype, std::vector<int64_t> shape) {
  shards.back().tensors.push_back(MakeTestTensor(name, dtype, std::move(shape)));
  index.at("weight_map").as_object()[name] = shards.back().file_name;
}

boost::json::object TinyConfig() {
  return {{"model_type", "deepseek_v3"},
          {"vocab_size", 40},
          {"hidden_size", 24},
          {"intermediate_size", 28},
          {"moe_intermediate_size", 10},
          {"num_hidden_layers", 2},
          {"num_nextn_predict_layers", 1},
          {"num_attention_heads", 2},
          {"q_lora_rank", 14},
          {"kv_lora_rank", 16},
          {"qk_nope_head_dim", 6},
          {"qk_rope_head_dim", 4},
          {"v_head_dim", 5},
          {"n_routed_experts", 4},
          {"n_shared_experts", 1},
          {"num_experts_per_tok", 2},
          {"n_group", 2},
          {"topk_group", 1},
          {"first_k_dense_replace", 1},
          {"max_position_embeddings", 64},
          {"bos_token_id", 0},
          {"eos_token_id", 1},
          {"torch_dtype", "bfloat16"},
          {"quantization_config",
           {{"quant_method", "fp8"}, {"fmt", "e4m3"}, {"weight_block_size", {8, 6}}}}};
}

TestTensor MakeTestTensor(std::string_view name, DType dtype, std::vector<int64_t> shape) {
  TestTensor tensor{
      .name = std::string(name), .dtype = dtype, .shape = std::move(shape), .data = ""};
  int64_t num_elements = 1;
  for (const int64_t extent : tensor.shape) {
    num_elements *= extent;
  }
  const std::string one = OneOf(dtype);
  for (int64_t i = 0; i < num_elements; ++i) {
    tensor.data += one;
  }
  return tensor;
}

TestCheckpoint MakeTestCheckpoint(const boost::json::object& config) {
  const absl::StatusOr<ModelConfig> parsed = ParseModelConfig(config);
  CHECK(parsed.ok());
  TestCheckpoint checkpoint;
  checkpoint.config = config;
  checkpoint.shards = {{"model-00001-of-00002.safetensors", {}},
                       {"model-00002-of-00002.safetensors", {}}};
  boost::json::object weight_map;
  for (const ExpectedTensor& tensor : ListExpectedTensors(*parsed)) {
    TestShard& shard = checkpoint.shards[tensor.layer >= 1 ? 1 : 0];
    shard.tensors.push_back(
        MakeTestTensor(tensor.name, DTypeOf(*parsed, tensor.role), tensor.shape));
    weight_map[tensor.name] = shard.file_name;
  }
  checkpoint.index = {{"metadata", {{"total_size", 1}}}, {"weight_map", weight_map}};
  return checkpoint;
}

std::string SafetensorsBytes(std::string_view header, std::string_view data) {
  std::string bytes;
  for (size_t i = 0; i < 8; ++i) {
    bytes.push_back(static_cast<char>(header.size() >> (8 * i)));
  }
  bytes += header;
  bytes += data;
  return bytes;
}

TestFiles ToFiles(const TestCheckpoint& checkpoint) {
  TestFiles files = {{"config.json", boost::json::serialize(checkpoint.config)}};
  if (!checkpoint.index.empty()) {
    files["model.safetensors.index.json"] = boost::json::serialize(checkpoint.index);
  }
  for (const TestShard& shard : checkpoint.shards) {
    files[shard.file_name] = ShardBytes(shard);
  }
  return files;
}

std::string WriteFolder(const TestFiles& files) {
  const std::string folder = FreshTestFolder();
  for (const auto& [file_name, bytes] : files) {
    std::ofstream(folder + "/" + file_name, std::ios::binary) << bytes;
  }
  return folder;
}

}  // namespace hadal
