#include "kernels/self_test/mla_project.h"

#include <cmath>

#include "kernels/self_test/bounds.h"

namespace hadal::self_test {
namespace {

constexpr float kEpsilon = 1e-6F;
constexpr int64_t kCacheBlockSize = 16;
constexpr double kTwoRoundings = 2 * kUnit;

// weight · x, with the error of x passed on and that of the sum added.
Bounded Product(const WeightMatrix& weight, const Bounded& input) {
  const Bounded x = RoundedInput(weight.format, input);
  const std::vector<double> row_norms = RowNorms(weight);
  Bounded y;
  for (int64_t row = 0; row < weight.rows; ++row) {
    double sum = 0;
    for (int64_t i = 0; i < weight.cols; ++i) {
      sum += double{WeightAt(weight, row, i)} * x.values[static_cast<size_t>(i)];
    }
    y.values.push_back(sum);
    y.errors.push_back(row_norms[static_cast<size_t>(row)] *
                       (Norm(x.errors) + Gamma(weight) * Norm(x.values)));
  }
  return y;
}

// y_i = x_i w_i / r, r = sqrt(mean(x^2) + epsilon): dy_i <= |w_i| (dx_i + |x_i| dr / r) / r, with
// dr <= |dx| / sqrt(n), and the relative error of rms_norm.h.
void Normalise(std::span<const float> weight, Bounded& x) {
  const double root_count = std::sqrt(static_cast<double>(weight.size()));
  const double mean_square = std::pow(Norm(std::span(x.values).first(weight.size())), 2) /
                             static_cast<double>(weight.size());
  const double root = std::sqrt(mean_square + double{kEpsilon});
  const double root_error = Norm(std::span(x.errors).first(weight.size())) / root_count;
  const double rounding = Gamma(std::ssize(weight)) / 2 + 7 * kUnit;
  for (size_t i = 0; i < weight.size(); ++i) {
    const double factor = double{weight[i]} / root;
    x.errors[i] =
        std::abs(factor) * (x.errors[i] + std::abs(x.values[i]) * (root_error / root + rounding));
    x.values[i] *= factor;
  }
}

// Rotated pairs take both errors.
void Rotate(int64_t first, int64_t rope_dim, Bounded& x) {
  for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(first + rope_dim); i += 2) {
    const double error = x.errors[i] + x.errors[i + 1];
    const double size = std::abs(x.values[i]) + std::abs(x.values[i + 1]);
    x.errors[i] = x.errors[i + 1] = error + 4 * kUnit * size;
    x.values[i] = x.values[i + 1] = size;
  }
}

}  // namespace

MlaProjectProblem::MlaProjectProblem(const WeightSpec& spec,
                                     const MlaProjectShape& shape,
                                     DType cache_dtype)
    : shape_(shape),
      random_(static_cast<uint32_t>(shape.hidden_size + shape.num_tokens)),
      x_(shape.num_tokens, shape.hidden_size),
      q_a_proj_(Weight(spec, shape.q_lora_rank, shape.hidden_size)),
      q_a_layernorm_(shape.q_lora_rank),
      q_b_proj_(Weight(spec,
                       shape.num_heads * (shape.nope_dim + shape.rope_dim),
                       shape.q_lora_rank > 0 ? shape.q_lora_rank : shape.hidden_size)),
      kv_a_proj_(Weight(spec, shape.kv_lora_rank + shape.rope_dim, shape.hidden_size)),
      kv_a_layernorm_(shape.kv_lora_rank),
      cos_(shape.num_tokens, shape.rope_dim / 2),
      sin_(shape.num_tokens, shape.rope_dim / 2),
      slots_(shape.num_tokens),
      dtype_(cache_dtype),
      cache_(MakeCache()),
      q_(shape.num_tokens, shape.num_heads, shape.nope_dim + shape.rope_dim) {
  x_.Fill([this] { return random_.Normal(); });
  q_a_layernorm_.Fill([this] { return random_.Uniform(0.5F, 1.5F); });
  kv_a_layernorm_.Fill([this] { return random_.Uniform(0.5F, 1.5F); });
  std::vector<float> angles(static_cast<size_t>(shape.num_tokens * shape.rope_dim / 2));
  for (float& angle : angles) {
    angle = random_.Uniform(-3.0F, 3.0F);
  }
  size_t i = 0;
  cos_.Fill([&] { return std::cos(angles[i++]); });
  i = 0;
  sin_.Fill([&] { return std::sin(angles[i++]); });
  i = 0;
  const std::vector<int32_t> order = random_.Permutation(NumBlocks() * kCacheBlockSize);
  slots_.Fill([&] { return int64_t{order[i++]}; });
}

MlaProjectArgs MlaProjectProblem::Args() {
  return {.x = x_.input(),
          .weights = {.q_a_proj = q_a_proj_.matrix(),
                      .q_a_layernorm = q_a_layernorm_.input(),
                      .q_b_proj = q_b_proj_.matrix(),
                      .kv_a_proj_with_mqa = kv_a_proj_.matrix(),
                      .kv_a_layernorm = kv_a_layernorm_.input()},
          .rms_norm_eps = kEpsilon,
          .angles = {.cos = cos_.input(), .sin = sin_.input()},
          .slots = slots_.input(),
          .cache = cache_.cache(),
          .q = q_.view()};
}

void MlaProjectProblem::Reset() {
  q_.Poison();
  cache_ = MakeCache();
}

bool MlaProjectProblem::GuardsIntact() const {
  return x_.GuardsIntact() && q_.GuardsIntact() && slots_.GuardsIntact() &&
         cache_.OthersUntouched(slots_.input().Row());
}

std::vector<float> MlaProjectProblem::Outputs() {
  std::vector<float> results = q_.Elements();
  for (const int64_t slot : slots_.input().Row()) {
    const std::vector<float> row = cache_.Row(slot);
    results.insert(results.end(), row.begin(), row.end());
  }
  return results;
}

std::vector<double> MlaProjectProblem::Tolerances(const std::vector<float>& expected) const {
  std::vector<double> queries;
  std::vector<double> rows;
  for (int64_t t = 0; t < shape_.num_tokens; ++t) {
    const auto x = x_.input().Row(t);
    const Bounded input = {.values = {x.begin(), x.end()},
                           .errors = std::vector<double>(x.size(), 0.0)};
    Bounded latent = input;
    if (shape_.q_lora_rank > 0) {
      latent = Product(q_a_proj_.matrix(), input);
      Normalise(q_a_layernorm_.input().Row(), latent);
    }
    Bounded q = Product(q_b_proj_.matrix(), latent);
    for (int64_t h = 0; h < shape_.num_heads; ++h) {
      const int64_t first = h * (shape_.nope_dim + shape_.rope_dim);
      Rotate(first + shape_.nope_dim, shape_.rope_dim, q);
    }
    queries.insert(queries.end(), q.errors.begin(), q.errors.end());
    Bounded kv = Product(kv_a_proj_.matrix(), input);
    Normalise(kv_a_layernorm_.input().Row(), kv);
    Rotate(shape_.kv_lora_rank, shape_.rope_dim, kv);
    rows.insert(rows.end(), kv.errors.begin(), kv.errors.end());
  }
  for (size_t i = 0; i < queries.size(); ++i) {
    queries[i] += kTwoRoundings * std::abs(double{expected[i]});
  }
  AddCacheRounding(std::span(expected).subspan(queries.size()), rows);
  queries.insert(queries.end(), rows.begin(), rows.end());
  return queries;
}

// Two close numbers may round to neighbours, which are 2^-7 of a bf16 apart. Of an int8 latent they
// are a step apart, a 127th of its group's largest, whose own error moves all of the group. An fp8
// latent y is within 2^-4 |x| or 2^-10 scales of x, whichever is more, so |x| is at most 16/15 |y|
// and 2^-10 scales; two that are `error` apart are rounded to at most that and both roundings.
void MlaProjectProblem::AddCacheRounding(std::span<const float> expected,
                                         std::vector<double>& errors) const {
  const int64_t row_width = shape_.kv_lora_rank + shape_.rope_dim;
  const double spacing = dtype_ == DType::kF32 ? kTwoRoundings : 0x1p-7;
  for (int64_t i = 0; i < std::ssize(errors);) {
    const int64_t column = i % row_width;
    int64_t end = i + 1;
    if (HasLatentScales(dtype_) && column < shape_.kv_lora_rank) {
      end = i + std::min(kLatentGroup, shape_.kv_lora_rank - column);
      double largest = 0;
      double error = 0;
      for (int64_t j = i; j < end; ++j) {
        largest = std::max(largest, std::abs(double{expected[static_cast<size_t>(j)]}));
        error = std::max(error, errors[static_cast<size_t>(j)]);
      }
      for (int64_t j = i; j < end; ++j) {
        const double size = std::abs(double{expected[static_cast<size_t>(j)]});
        errors[static_cast<size_t>(j)] =
            dtype_ == DType::kI8
                ? (largest + error) / kLargestInt8 + 2 * error
                : 0x1p-3 * size * 16 / 15 + 0x1p-8 * (largest + error) / kLargestFp8 + 2 * error;
      }
    } else {
      errors[static_cast<size_t>(i)] +=
          spacing * std::abs(double{expected[static_cast<size_t>(i)]});
    }
    i = end;
  }
}

int64_t MlaProjectProblem::NumBlocks() const {
  return shape_.num_tokens / kCacheBlockSize + 2;
}

CacheBuffer MlaProjectProblem::MakeCache() const {
  return CacheBuffer({.dtype = dtype_,
                      .num_blocks = NumBlocks(),
                      .block_size = kCacheBlockSize,
                      .row_width = shape_.kv_lora_rank + shape_.rope_dim,
                      .kv_lora_rank = shape_.kv_lora_rank});
}

WeightBuffer MlaProjectProblem::Weight(const WeightSpec& spec, int64_t rows, int64_t cols) {
  return WeightBuffer::MakeRandom(spec, rows, cols, random_);
}

}  // namespace hadal::self_test
