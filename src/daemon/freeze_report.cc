// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/freeze_report.h"

#include <chrono>
#include <optional>

#include "daemon/freezing.h"

namespace dmsnap {

namespace {

nlohmann::json milliseconds(const std::optional<std::chrono::microseconds>& lasted) {
  if (!lasted) return nullptr;
  return std::chrono::duration<double, std::milli>(*lasted).count();
}

}  // namespace

nlohmann::json freezing_report(const Freezing& freezing) {
  const auto helper = freezing.helper();
  return {{"helper_pid", helper ? nlohmann::json(*helper) : nlohmann::json()},
          {"reason", freezing.why_no_helper()},
          {"last_ms", milliseconds(freezing.last_lasted())}};
}

nlohmann::json freeze_report(const FreezeReport& report) {
  return {{"frozen", report.frozen},
          {"not_frozen", report.not_frozen},
          {"notes", report.notes},
          {"lasted_ms", milliseconds(report.lasted)}};
}

}  // namespace dmsnap
