// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/prometheus_text.h"

#include <fmt/format.h>

namespace dmsnap {

namespace {

/// For between double quotes.
std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

void PrometheusText::metric(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

void PrometheusText::sample(Labels labels, double value) {
  line("", labels, "", value);
}

void PrometheusText::histogram(Labels labels, const Histogram::Counts& counts, double unit) {
  std::uint64_t up_to = 0;
  for (std::size_t b = 0; b + 1 < Histogram::buckets; ++b) {
    up_to += counts.in_bucket[b];
    const double bound = static_cast<double>(std::uint64_t{1} << b) * unit;
    line("_bucket", labels, fmt::format("{:.9g}", bound), static_cast<double>(up_to));
  }
  const auto total = static_cast<double>(up_to + counts.in_bucket.back());
  line("_bucket", labels, "+Inf", total);
  line("_sum", labels, "", static_cast<double>(counts.sum) * unit);
  line("_count", labels, "", total);
}

void PrometheusText::line(std::string_view suffix, Labels labels, std::string_view le, double value) {
  text_ += name_;
  text_ += suffix;
  std::string_view before = "{";
  const auto label = [&](std::string_view name, std::string_view is) {
    text_ += fmt::format("{}{}=\"{}\"", before, name, escaped(is));
    before = ",";
  };
  for (const auto& [name, is] : labels) label(name, is);
  if (!le.empty()) label("le", le);
  if (before != "{") text_ += '}';
  text_ += fmt::format(" {:.17g}\n", value);
}

}  // namespace dmsnap
