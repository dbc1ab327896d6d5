// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/prometheus_text.h"

#include <gtest/gtest.h>

namespace dmsnap {
namespace {

TEST(prometheus_text, a_metric_has_help_type_and_samples_with_labels) {
  PrometheusText text;
  text.metric("x_total", "counter", "What it is.");
  text.sample({}, 7);
  text.sample({{"a", "1"}, {"b", "two"}}, 0.5);
  EXPECT_EQ(text.text(),
            "# HELP x_total What it is.\n# TYPE x_total counter\nx_total 7\nx_total{a=\"1\",b=\"two\"} 0.5\n");
}

TEST(prometheus_text, what_a_label_may_not_hold_is_escaped) {
  PrometheusText text;
  text.metric("x", "gauge", "h");
  text.sample({{"path", "a\"b\\c\nd"}}, 1);
  EXPECT_NE(text.text().find("x{path=\"a\\\"b\\\\c\\nd\"} 1\n"), std::string::npos) << text.text();
}

TEST(prometheus_text, buckets_of_a_histogram_count_what_is_at_most_their_bound) {
  Histogram histogram;
  for (const std::uint64_t value : {0U, 1U, 2U, 3U, 4U}) histogram.count(value);
  histogram.count(~std::uint64_t{0} >> 8);
  PrometheusText text;
  text.metric("x_seconds", "histogram", "h");
  text.histogram({{"k", "v"}}, histogram.counts(), 1e-6);
  for (const char* line : {"x_seconds_bucket{k=\"v\",le=\"1e-06\"} 2\n", "x_seconds_bucket{k=\"v\",le=\"2e-06\"} 3\n",
                           "x_seconds_bucket{k=\"v\",le=\"4e-06\"} 5\n", "x_seconds_bucket{k=\"v\",le=\"8e-06\"} 5\n",
                           "x_seconds_bucket{k=\"v\",le=\"+Inf\"} 6\n", "x_seconds_count{k=\"v\"} 6\n"}) {
    EXPECT_NE(text.text().find(line), std::string::npos) << line << text.text();
  }
}

}  // namespace
}  // namespace dmsnap
