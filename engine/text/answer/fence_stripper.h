#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hadal {

/// Takes the Markdown fence off the arguments of a call, as V3 and R1 write it: "```json", a line
/// break, the arguments, a line break, "```". Each part may be missing, the word "json" too, and
/// blanks may stand around the whole. Text that may be part of a fence is held back. The result
/// does not depend on how the text was cut into chunks. Linear time; one thread at a time.
class FenceStripper {
 public:
  /// The arguments that `text` adds.
  std::string Push(std::string_view text);

  /// The arguments still held back, when no more will come: never a whole closing fence, nor the
  /// beginning of an opening one. Afterwards the stripper is as new.
  std::string Finish();

 private:
  void PushOpening(char c, std::string& arguments);
  void PushInside(char c, std::string& arguments);

  bool is_opening_ = true;  // no arguments yet
  std::string held_;        // opening: the beginning of a fence; else "\n"?, "`"*, blanks
  int32_t num_ticks_ = 0;   // inside: ticks in held_, at most 3; blanks stand behind the third only
};

}  // namespace hadal
