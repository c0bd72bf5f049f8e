#include "server/operations/expert_metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "base/check.h"

namespace hadal {
namespace {

constexpr int64_t kStepsPerHalf = 256;

// A label's value in text format 0.0.4.
std::string EscapeLabel(const std::string& value) {
  return absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}});
}

void AppendNumber(int64_t number, std::string& text) {
  std::array<char, 24> digits;  // NOLINT(cppcoreguidelines-pro-type-member-init): written below
  const auto [end, error] = std::to_chars(digits.begin(), digits.end(), number);
  text.append(digits.begin(), end);
}

}  // namespace

struct ExpertMetrics::Counts {
  explicit Counts(const ExpertShape& its_shape)
      : shape(its_shape),
        tokens(static_cast<size_t>(shape.num_layers * shape.num_experts)),
        forgotten(tokens.size()) {}

  [[nodiscard]] size_t IndexOf(int64_t layer, int64_t expert) const {
    return static_cast<size_t>(layer * shape.num_experts + expert);
  }

  const ExpertShape shape;
  std::vector<std::atomic<int64_t>> tokens;     // [layer, expert], since the start
  std::vector<std::atomic<int64_t>> forgotten;  // of these, what counts for the imbalance no more
};

ExpertMetrics::ExpertMetrics(const std::string& model)
    : model_label_(absl::StrCat("model=\"", EscapeLabel(model), "\"")) {}

ExpertMetrics::~ExpertMetrics() = default;

void ExpertMetrics::SetShape(const ExpertShape& shape) {
  CHECK(owner_ == nullptr);
  CHECK(shape.num_layers >= 0 && shape.num_experts >= 0);
  owner_ = std::make_unique<Counts>(shape);
  counts_.store(owner_.get());
}

// The scheduler's thread is the only writer, so a load and a store do what a slower atomic addition
// would.
void ExpertMetrics::Observe(std::span<const int32_t> expert_tokens) {
  if (expert_tokens.empty()) {
    return;
  }
  Counts* const counts = counts_.load(std::memory_order_acquire);
  CHECK(counts != nullptr);
  CHECK_EQ(expert_tokens.size(), counts->tokens.size());
  for (size_t i = 0; i < expert_tokens.size(); ++i) {
    if (expert_tokens[i] != 0) {
      std::atomic<int64_t>& total = counts->tokens[i];
      total.store(total.load(std::memory_order_relaxed) + expert_tokens[i],
                  std::memory_order_relaxed);
    }
  }
  if (++num_steps_ % kStepsPerHalf == 0) {
    Age(*counts);
  }
}

void ExpertMetrics::Age(Counts& counts) {
  for (size_t i = 0; i < counts.tokens.size(); ++i) {
    const int64_t total = counts.tokens[i].load(std::memory_order_relaxed);
    const int64_t forgotten = counts.forgotten[i].load(std::memory_order_relaxed);
    counts.forgotten[i].store(total - (total - forgotten) / 2, std::memory_order_relaxed);
  }
}

double ExpertMetrics::Imbalance(int64_t layer) const {
  const Counts* const counts = counts_.load(std::memory_order_acquire);
  CHECK(counts != nullptr);
  CHECK(layer >= 0 && layer < counts->shape.num_layers);
  return Imbalance(*counts, layer);
}

double ExpertMetrics::Imbalance(const Counts& counts, int64_t layer) {
  int64_t sum = 0;
  int64_t most = 0;
  for (int64_t expert = 0; expert < counts.shape.num_experts; ++expert) {
    const size_t i = counts.IndexOf(layer, expert);
    // The writer may be between the two; what it has not added yet is not there.
    const int64_t forgotten = counts.forgotten[i].load(std::memory_order_relaxed);
    const int64_t total = counts.tokens[i].load(std::memory_order_relaxed);
    const int64_t recent = std::max(total - forgotten, int64_t{0});
    sum += recent;
    most = std::max(most, recent);
  }
  return sum == 0 ? 0
                  : static_cast<double>(most) * static_cast<double>(counts.shape.num_experts) /
                        static_cast<double>(sum);
}

void ExpertMetrics::AppendText(std::string& text) const {
  const Counts* const counts = counts_.load(std::memory_order_acquire);
  const ExpertShape shape = counts != nullptr ? counts->shape : ExpertShape{};
  text +=
      "# HELP hadal_expert_load_imbalance_ratio Tokens of a layer's busiest expert over the mean "
      "of "
      "all, lately; 1 is balance, 0 no tokens.\n"
      "# TYPE hadal_expert_load_imbalance_ratio gauge\n";
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    absl::StrAppendFormat(&text,
                          "hadal_expert_load_imbalance_ratio{%s,layer=\"%d\"} %.6g\n",
                          model_label_,
                          shape.first_layer + layer,
                          Imbalance(*counts, layer));
  }
  text +=
      "# HELP hadal_expert_tokens_total Tokens that were routed to an expert.\n"
      "# TYPE hadal_expert_tokens_total counter\n";
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    const std::string prefix = absl::StrCat("hadal_expert_tokens_total{",
                                            model_label_,
                                            ",layer=\"",
                                            shape.first_layer + layer,
                                            "\",expert=\"");
    for (int64_t expert = 0; expert < shape.num_experts; ++expert) {
      text += prefix;
      AppendNumber(expert, text);
      text += "\"} ";
      AppendNumber(counts->tokens[counts->IndexOf(layer, expert)].load(std::memory_order_relaxed),
                   text);
      text += '\n';
    }
  }
}

}  // namespace hadal
