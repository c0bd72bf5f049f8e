#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace hadal {

/// "loading [######    ]  61 %  4.2 of 6.9 GB" on stderr while it is a terminal; nothing otherwise.
/// The line is cleared when the bar ends.
class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar();

  /// Redraws when the percentage has changed.
  void Show(int64_t done_bytes, int64_t total_bytes);

 private:
  const std::string label_;
  const bool visible_;
  int64_t shown_percent_ = -1;
};

}  // namespace hadal
