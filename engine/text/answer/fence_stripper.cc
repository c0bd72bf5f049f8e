#include "engine/text/answer/fence_stripper.h"

#include <utility>

namespace hadal {
namespace {

constexpr std::string_view kOpeningFence = "```json\n";
// What an opening fence may be, longest first.
constexpr std::string_view kOpenings[] = {kOpeningFence, "```json", "```\n", "```"};
constexpr int32_t kNumTicks = 3;

bool IsBlank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

}  // namespace

std::string FenceStripper::Push(std::string_view text) {
  std::string arguments;
  for (const char c : text) {
    if (is_opening_) {
      PushOpening(c, arguments);
    } else {
      PushInside(c, arguments);
    }
  }
  return arguments;
}

void FenceStripper::PushOpening(char c, std::string& arguments) {
  if (held_.empty() && IsBlank(c)) {
    return;
  }
  held_.push_back(c);
  if (kOpeningFence.starts_with(held_) && held_.size() < kOpeningFence.size()) {
    return;
  }
  is_opening_ = false;
  const std::string begun = std::exchange(held_, {});
  std::string_view rest = begun;
  for (const std::string_view opening : kOpenings) {
    if (rest.starts_with(opening)) {
      rest.remove_prefix(opening.size());
      break;
    }
  }
  for (const char inside : rest) {
    PushInside(inside, arguments);
  }
}

// Holds the longest end of the text that may be the beginning of "\n```" or "```" and blanks.
void FenceStripper::PushInside(char c, std::string& arguments) {
  const bool is_whole = num_ticks_ == kNumTicks;
  if (is_whole ? IsBlank(c) : c == '`') {
    num_ticks_ += is_whole ? 0 : 1;
    held_.push_back(c);
    return;
  }
  if (c == '`' && held_.back() == '`') {
    // A fourth tick: the last three may still be the fence.
    arguments.append(held_, 0, held_.size() - (kNumTicks - 1));
    held_.assign(kNumTicks, '`');
    return;
  }
  const bool keeps_line_break = c == '`' && held_.back() == '\n';
  arguments.append(held_, 0, held_.size() - (keeps_line_break ? 1 : 0));
  held_.assign(keeps_line_break ? 1 : 0, '\n');
  num_ticks_ = c == '`' ? 1 : 0;
  if (c == '`' || c == '\n') {
    held_.push_back(c);
  } else {
    arguments.push_back(c);
  }
}

std::string FenceStripper::Finish() {
  std::string arguments;
  if (!is_opening_ && num_ticks_ < kNumTicks) {
    arguments = std::move(held_);
  }
  *this = FenceStripper();
  return arguments;
}

}  // namespace hadal
