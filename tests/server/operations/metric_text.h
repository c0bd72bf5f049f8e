#pragma once

#include <map>
#include <string>
#include <utility>

namespace hadal {

/// The series of Prometheus' text format: a name and its labels, and the value.
using MetricSeries = std::map<std::pair<std::string, std::map<std::string, std::string>>, double>;

/// Reads what Serialize writes; fails the test on a line of another form and on a series that
/// stands twice.
MetricSeries ParseMetricText(const std::string& text);

/// The value of one series; fails the test when it is not there.
double ValueOf(const MetricSeries& series,
               const std::string& name,
               const std::map<std::string, std::string>& labels);

}  // namespace hadal
