#include "server/operations/metric_registry.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace hadal {
namespace {

MetricSample SampleOf(const MetricLabels& labels,
                      const std::variant<Counter, Gauge, Histogram>& metric) {
  MetricSample sample = {.labels = labels, .histogram = {}};
  if (const auto* counter = std::get_if<Counter>(&metric)) {
    sample.value = counter->value();
  } else if (const auto* gauge = std::get_if<Gauge>(&metric)) {
    sample.value = gauge->value();
  } else {
    sample.histogram = std::get<Histogram>(metric).Read();
  }
  return sample;
}

}  // namespace

MetricRegistry::MetricRegistry(const std::string& model) : model_(model) {}

MetricRegistry::Family& MetricRegistry::FindOrAddFamily(const MetricFamilyName& name,
                                                        MetricType type) {
  const auto found = std::find_if(families_.begin(), families_.end(), [&](const Family& family) {
    return family.name.name == name.name;
  });
  if (found == families_.end()) {
    return families_.emplace_back(Family{.name = name, .type = type, .series = {}});
  }
  CHECK(found->type == type);
  return *found;
}

template <typename Metric, typename... Args>
Metric& MetricRegistry::Add(const MetricFamilyName& name,
                            MetricType type,
                            MetricLabels labels,
                            const Args&... args) {
  if (name.scope == MetricScope::kModel) {
    labels.emplace("model", model_);
  }
  const absl::MutexLock lock(&mutex_);
  Family& family = FindOrAddFamily(name, type);
  for (const std::unique_ptr<Series>& series : family.series) {
    CHECK(series->labels != labels);
  }
  family.series.push_back(
      std::make_unique<Series>(std::move(labels), std::in_place_type<Metric>, args...));
  return std::get<Metric>(family.series.back()->metric);
}

Counter& MetricRegistry::AddCounter(const MetricFamilyName& family, const MetricLabels& labels) {
  return Add<Counter>(family, MetricType::kCounter, labels);
}

Gauge& MetricRegistry::AddGauge(const MetricFamilyName& family, const MetricLabels& labels) {
  return Add<Gauge>(family, MetricType::kGauge, labels);
}

Histogram& MetricRegistry::AddHistogram(const MetricFamilyName& family,
                                        const MetricLabels& labels,
                                        std::span<const double> bounds) {
  return Add<Histogram>(family, MetricType::kHistogram, labels, bounds);
}

void MetricRegistry::AddCollectable(const Collectable& collectable) {
  collectables_.push_back(&collectable);
}

std::vector<MetricFamily> MetricRegistry::Collect() const {
  const absl::MutexLock lock(&mutex_);
  std::vector<MetricFamily> families;
  for (const Family& family : families_) {
    MetricFamily& collected = families.emplace_back(MetricFamily{
        .name = family.name.name, .help = family.name.help, .type = family.type, .samples = {}});
    for (const std::unique_ptr<Series>& series : family.series) {
      collected.samples.push_back(SampleOf(series->labels, series->metric));
    }
  }
  return families;
}

std::string MetricRegistry::Serialize() const {
  std::vector<MetricFamily> families = Collect();
  for (const Collectable* collectable : collectables_) {
    std::vector<MetricFamily> more = collectable->Collect();
    families.insert(
        families.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  std::string text;
  for (const MetricFamily& family : families) {
    AppendText(family, text);
  }
  return text;
}

}  // namespace hadal
