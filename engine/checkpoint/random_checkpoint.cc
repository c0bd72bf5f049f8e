#include "engine/checkpoint/random_checkpoint.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string_view>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "base/check.h"
#include "engine/checkpoint/weight_map.h"

namespace hadal {
namespace {

constexpr double kHeadGain = 2;
constexpr double kRouterGain = 1.5;
constexpr float kGateBiasStd = 0.15F;

// Exists as long as the object.
class TemporaryFolder {
 public:
  static absl::StatusOr<TemporaryFolder> Create() {
    std::error_code error;
    const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
    if (error) {
      return ResourceExhausted("no folder for temporary files: %s", error.message());
    }
    std::string path = (parent / "hadal_XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) {
      return ResourceExhausted(
          "%s: cannot make a temporary folder: %s", path, std::strerror(errno));
    }
    return TemporaryFolder(std::move(path));
  }

  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;  // nothing is left to do
    if (!path_.empty()) {
      std::filesystem::remove_all(path_, ignored);
    }
  }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

// FNV-1a, so that tensors do not share numbers.
uint64_t HashName(std::string_view name, uint64_t seed) {
  uint64_t hash = 0xCBF29CE484222325U ^ seed;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  }
  return hash;
}

DType DTypeOf(const ModelConfig& config, TensorRole role) {
  return role == TensorRole::kGateBias ? DType::kF32 : config.dtype;
}

float StandardDeviation(const ExpectedTensor& tensor) {
  if (tensor.role == TensorRole::kGateBias) {
    return kGateBiasStd;
  }
  if (tensor.group == TensorGroup::kEmbedding) {
    return 1;
  }
  double gain = 1;
  if (tensor.group == TensorGroup::kHead) {
    gain = kHeadGain;
  } else if (tensor.name.ends_with("mlp.gate.weight")) {
    gain = kRouterGain;
  }
  return static_cast<float>(gain / std::sqrt(static_cast<double>(tensor.shape.back())));
}

void AppendValue(DType dtype, float value, std::string& data) {
  if (dtype == DType::kBf16) {
    const bf16 rounded = ToBf16(value);
    data.append(reinterpret_cast<const char*>(&rounded), sizeof(rounded));
    return;
  }
  data.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void AppendTensor(const ExpectedTensor& tensor, DType dtype, uint64_t seed, std::string& data) {
  if (tensor.role == TensorRole::kNorm) {
    for (int64_t i = 0; i < tensor.num_elements(); ++i) {
      AppendValue(dtype, 1, data);
    }
    return;
  }
  std::mt19937_64 random(HashName(tensor.name, seed));
  std::normal_distribution<float> normal(0, StandardDeviation(tensor));
  for (int64_t i = 0; i < tensor.num_elements(); ++i) {
    AppendValue(dtype, normal(random), data);
  }
}

absl::Status WriteFile(const std::string& path, std::string_view first, std::string_view second) {
  std::ofstream file(path, std::ios::binary);
  file << first << second;
  file.close();
  if (!file) {
    return ResourceExhausted("%s: cannot be written", path);
  }
  return absl::OkStatus();
}

absl::Status WriteWeights(const ModelConfig& config, uint64_t seed, const std::string& path) {
  boost::json::object header;
  std::string data;
  for (const ExpectedTensor& tensor : ListExpectedTensors(config)) {
    const DType dtype = DTypeOf(config, tensor.role);
    const size_t begin = data.size();
    AppendTensor(tensor, dtype, seed, data);
    header[tensor.name] = {{"dtype", NameOf(dtype)},
                           {"shape", boost::json::array(tensor.shape.begin(), tensor.shape.end())},
                           {"data_offsets", {begin, data.size()}}};
  }
  std::string text = boost::json::serialize(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that data lie aligned
  std::string length;
  for (size_t i = 0; i < 8; ++i) {
    length.push_back(static_cast<char>(text.size() >> (8 * i)));
  }
  return WriteFile(path, length + text, data);
}

}  // namespace

boost::json::object RandomModelConfig() {
  return {{"model_type", "deepseek_v3"},
          {"vocab_size", 2048},
          {"hidden_size", 256},
          {"intermediate_size", 512},
          {"moe_intermediate_size", 128},
          {"num_hidden_layers", 4},
          {"num_nextn_predict_layers", 0},
          {"num_attention_heads", 4},
          {"q_lora_rank", 96},
          {"kv_lora_rank", 64},
          {"qk_nope_head_dim", 32},
          {"qk_rope_head_dim", 16},
          {"v_head_dim", 32},
          {"n_routed_experts", 16},
          {"n_shared_experts", 1},
          {"num_experts_per_tok", 4},
          {"n_group", 4},
          {"topk_group", 2},
          {"first_k_dense_replace", 1},
          {"norm_topk_prob", true},
          {"routed_scaling_factor", 2.5},
          {"scoring_func", "sigmoid"},
          {"topk_method", "noaux_tc"},
          {"max_position_embeddings", 16384},
          {"bos_token_id", 0},
          {"eos_token_id", 1},
          {"torch_dtype", "bfloat16"}};
}

absl::Status WriteRandomCheckpoint(const boost::json::object& config,
                                   uint64_t seed,
                                   const std::string& dir) {
  ASSIGN_OR_RETURN(const ModelConfig parsed, ParseModelConfig(config));
  CHECK(!parsed.quantization.has_value());
  CHECK(parsed.dtype == DType::kBf16 || parsed.dtype == DType::kF32);
  RETURN_IF_ERROR(WriteFile(dir + "/config.json", boost::json::serialize(config), "\n"));
  return WriteWeights(parsed, seed, dir + "/model.safetensors");
}

absl::StatusOr<Checkpoint> MakeRandomCheckpoint(const boost::json::object& config, uint64_t seed) {
  ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Create());
  RETURN_IF_ERROR(WriteRandomCheckpoint(config, seed, folder.path()));
  return Checkpoint::Open(folder.path());
}

}  // namespace hadal
