#include "server/operations/metric_registry.h"

#include <iterator>
#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <utility>

namespace hadal {

MetricRegistry::MetricRegistry(const std::string& model)
    : model_(model), registry_(std::make_unique<prometheus::Registry>()) {}

MetricRegistry::~MetricRegistry() = default;

MetricLabels MetricRegistry::ConstantLabels(MetricScope scope) const {
  return scope == MetricScope::kModel ? MetricLabels{{"model", model_}} : MetricLabels{};
}

prometheus::Counter& MetricRegistry::AddCounter(const MetricFamilyName& family,
                                                const MetricLabels& labels) {
  return prometheus::BuildCounter()
      .Name(family.name)
      .Help(family.help)
      .Labels(ConstantLabels(family.scope))
      .Register(*registry_)
      .Add(labels);
}

prometheus::Gauge& MetricRegistry::AddGauge(const MetricFamilyName& family,
                                            const MetricLabels& labels) {
  return prometheus::BuildGauge()
      .Name(family.name)
      .Help(family.help)
      .Labels(ConstantLabels(family.scope))
      .Register(*registry_)
      .Add(labels);
}

prometheus::Histogram& MetricRegistry::AddHistogram(const MetricFamilyName& family,
                                                    const MetricLabels& labels,
                                                    std::span<const double> bounds) {
  return prometheus::BuildHistogram()
      .Name(family.name)
      .Help(family.help)
      .Labels(ConstantLabels(family.scope))
      .Register(*registry_)
      .Add(labels, std::vector<double>(bounds.begin(), bounds.end()));
}

void MetricRegistry::AddCollectable(const prometheus::Collectable& collectable) {
  collectables_.push_back(&collectable);
}

std::string MetricRegistry::Serialize() const {
  std::vector<prometheus::MetricFamily> families = registry_->Collect();
  for (const prometheus::Collectable* collectable : collectables_) {
    std::vector<prometheus::MetricFamily> more = collectable->Collect();
    families.insert(
        families.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return prometheus::TextSerializer().prometheus::Serializer::Serialize(families);
}

}  // namespace hadal
