#include "tests/server/operations/metric_text.h"

#include <cmath>

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

// Reads `{a="b",c="d"}` from the front of `text`, which is cut off.
std::map<std::string, std::string> TakeLabels(std::string& text) {
  std::map<std::string, std::string> labels;
  size_t position = 1;
  while (position < text.size() && text[position] != '}') {
    const size_t equals = text.find("=\"", position);
    if (equals == std::string::npos) {
      ADD_FAILURE() << text;
      break;
    }
    const std::string name = text.substr(position, equals - position);
    std::string value;
    position = equals + 2;
    for (; position < text.size() && text[position] != '"'; ++position) {
      if (text[position] == '\\') {
        ++position;
      }
      value.push_back(text[position]);
    }
    labels[name] = value;
    position += text.substr(position + 1, 1) == "," ? 2 : 1;
  }
  text.erase(0, position + 1);
  return labels;
}

}  // namespace

MetricSeries ParseMetricText(const std::string& text) {
  MetricSeries series;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (line[0] == '#') {
      continue;
    }
    const size_t name_length = line.find_first_of("{ ");
    std::string rest(line.substr(name_length));
    std::map<std::string, std::string> labels;
    if (rest[0] == '{') {
      labels = TakeLabels(rest);
    }
    double value = 0;
    EXPECT_TRUE(absl::SimpleAtod(rest, &value)) << line;
    const bool is_first =
        series.insert({{std::string(line.substr(0, name_length)), labels}, value}).second;
    EXPECT_TRUE(is_first) << line;
  }
  return series;
}

double ValueOf(const MetricSeries& series,
               const std::string& name,
               const std::map<std::string, std::string>& labels) {
  const auto found = series.find({name, labels});
  if (found == series.end()) {
    ADD_FAILURE() << "no series " << name << " with these " << labels.size() << " labels";
    return std::nan("");
  }
  return found->second;
}

}  // namespace hadal
