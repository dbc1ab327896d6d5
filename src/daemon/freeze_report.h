// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <nlohmann/json.hpp>

namespace dmsnap {

class Freezing;
struct FreezeReport;

/// What the reply to a create says of its freeze (dmsnap-control(7) has the members).
nlohmann::json freeze_report(const FreezeReport& report);

/// What status says: whether this mount can freeze, and how long it did the last time.
nlohmann::json freezing_report(const Freezing& freezing);

}  // namespace dmsnap
