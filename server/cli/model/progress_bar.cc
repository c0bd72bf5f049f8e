#include "server/cli/model/progress_bar.h"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace hadal {

ProgressBar::ProgressBar(std::string label)
    : label_(std::move(label)), visible_(isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
  if (shown_percent_ >= 0) {
    std::fprintf(stderr, "\r\x1b[K");
  }
}

void ProgressBar::Show(int64_t done_bytes, int64_t total_bytes) {
  constexpr double kBytesPerGb = 1e9;
  constexpr int64_t kWidth = 32;
  const int64_t percent = total_bytes > 0
                              ? static_cast<int64_t>(100.0 * static_cast<double>(done_bytes) /
                                                     static_cast<double>(total_bytes))
                              : 100;
  if (!visible_ || percent == shown_percent_) {
    return;
  }
  shown_percent_ = percent;
  std::string bar(static_cast<size_t>(kWidth), ' ');
  std::fill_n(bar.begin(), percent * kWidth / 100, '#');
  std::fprintf(stderr,
               "\r%s [%s] %3d %%  %.1f of %.1f GB",
               label_.c_str(),
               bar.c_str(),
               static_cast<int>(percent),
               static_cast<double>(done_bytes) / kBytesPerGb,
               static_cast<double>(total_bytes) / kBytesPerGb);
}

}  // namespace hadal
