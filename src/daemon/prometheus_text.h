// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "snapshot/histogram.h"

namespace dmsnap {

/// Metrics in Prometheus' text format 0.0.4. One thread.
class PrometheusText {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  /// Begins a metric; its samples follow. `type` is "counter", "gauge" or "histogram".
  void metric(std::string_view name, std::string_view type, std::string_view help);
  void sample(Labels labels, double value);
  /// Of a histogram: its buckets' bounds and its sum are in `unit`s, such as 1e-6 for microseconds told as seconds.
  void histogram(Labels labels, const Histogram::Counts& counts, double unit);

  const std::string& text() const { return text_; }

 private:
  void line(std::string_view suffix, Labels labels, std::string_view le, double value);

  std::string name_;
  std::string text_;
};

}  // namespace dmsnap
