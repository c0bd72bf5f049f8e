#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "server/operations/server_metrics.h"

namespace hadal {

/// hadal_expert_tokens_total{layer,expert} and hadal_expert_load_imbalance_ratio{layer}. A large
/// model has 15,000 experts, so counts are plain atomics with one writer, and their text is written
/// here: the library's families of labelled metrics would take a scrape 20 ms.
class ExpertMetrics {
 public:
  explicit ExpertMetrics(const std::string& model);
  ExpertMetrics(const ExpertMetrics&) = delete;
  ExpertMetrics& operator=(const ExpertMetrics&) = delete;
  ~ExpertMetrics();

  /// Once, before Observe. Any thread.
  void SetShape(const ExpertShape& shape);

  /// One step's tokens, [layer, expert]; nothing happens when there are none. REQUIRES: SetShape
  /// was called and the sizes agree. One thread at a time.
  void Observe(std::span<const int32_t> expert_tokens);

  /// Of a layer's experts, the tokens of the busiest over the mean of all, in the last 256 to 512
  /// steps mostly: older ones count half as much every 256 steps. 1 is perfect balance; 0 when no
  /// token came by. `layer` counts from the first with experts. REQUIRES: SetShape was called.
  [[nodiscard]] double Imbalance(int64_t layer) const;

  /// Both families in text format 0.0.4. Any thread.
  void AppendText(std::string& text) const;

 private:
  struct Counts;

  // Older tokens count half from now on.
  static void Age(Counts& counts);
  static double Imbalance(const Counts& counts, int64_t layer);

  const std::string model_label_;          // escaped, with name and quotes
  std::unique_ptr<Counts> owner_;          // SetShape's alone
  std::atomic<Counts*> counts_ = nullptr;  // null before SetShape
  int64_t num_steps_ = 0;                  // Observe's alone
};

}  // namespace hadal
