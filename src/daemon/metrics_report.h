// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

namespace dmsnap {

class MountedSet;

/// What `.dmsnap/metrics` says, in Prometheus' text format; dmsnap-control(7) names the metrics. Any thread; nothing is
/// scanned.
std::string metrics_report(const MountedSet& set);

}  // namespace dmsnap
