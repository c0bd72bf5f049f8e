#include "server/operations/metric.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "base/check.h"

namespace hadal {
namespace {

std::string_view NameOf(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "untyped";
}

// Digits enough to read the same number again; whole numbers without a fraction.
std::string TextOf(double value) {
  if (std::isnan(value)) {
    return "NaN";
  }
  if (std::isinf(value)) {
    return value > 0 ? "+Inf" : "-Inf";
  }
  constexpr double kMostExact = 1e15;
  if (value == std::floor(value) && std::abs(value) < kMostExact) {
    return std::to_string(static_cast<int64_t>(value));
  }
  std::string text = absl::StrFormat("%.15g", value);
  return std::strtod(text.c_str(), nullptr) == value ? text : absl::StrFormat("%.17g", value);
}

void AppendLine(std::string_view name,
                std::string_view suffix,
                const MetricLabels& labels,
                std::string_view bound,
                double value,
                std::string& text) {
  text.append(name).append(suffix);
  char separator = '{';
  for (const auto& [label, content] : labels) {
    const std::string escaped =
        absl::StrReplaceAll(content, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}});
    text.append(1, separator).append(label).append("=\"").append(escaped).append("\"");
    separator = ',';
  }
  if (!bound.empty()) {
    text.append(1, separator).append("le=\"").append(bound).append("\"");
    separator = ',';
  }
  text.append(separator == ',' ? "} " : " ").append(TextOf(value)).append("\n");
}

// Buckets are cumulated: each counts all values up to its bound.
void AppendHistogram(const std::string& name, const MetricSample& sample, std::string& text) {
  const HistogramCounts& histogram = sample.histogram;
  int64_t count = 0;
  for (size_t i = 0; i < histogram.counts.size(); ++i) {
    count += histogram.counts[i];
    const std::string bound = i < histogram.bounds.size() ? TextOf(histogram.bounds[i]) : "+Inf";
    AppendLine(name, "_bucket", sample.labels, bound, static_cast<double>(count), text);
  }
  AppendLine(name, "_sum", sample.labels, "", histogram.sum, text);
  AppendLine(name, "_count", sample.labels, "", static_cast<double>(count), text);
}

}  // namespace

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds.begin(), bounds.end()), counts_(bounds.size() + 1) {
  CHECK(std::is_sorted(bounds_.begin(), bounds_.end()));
}

void Histogram::Observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

HistogramCounts Histogram::Read() const {
  HistogramCounts read = {.bounds = bounds_, .counts = {}, .sum = sum_.load()};
  for (const std::atomic<int64_t>& count : counts_) {
    read.counts.push_back(count.load(std::memory_order_relaxed));
  }
  return read;
}

void AppendText(const MetricFamily& family, std::string& text) {
  const std::string help = absl::StrReplaceAll(family.help, {{"\\", "\\\\"}, {"\n", "\\n"}});
  text.append("# HELP ").append(family.name).append(" ").append(help).append("\n");
  text.append("# TYPE ").append(family.name).append(" ").append(NameOf(family.type)).append("\n");
  for (const MetricSample& sample : family.samples) {
    if (family.type == MetricType::kHistogram) {
      AppendHistogram(family.name, sample, text);
    } else {
      AppendLine(family.name, "", sample.labels, "", sample.value, text);
    }
  }
}

}  // namespace hadal
