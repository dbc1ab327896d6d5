// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/frozen_record.h"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <cstdio>
#include <sstream>

#include "host/freezer.h"
#include "host/mount_table.h"
#include "host/stacked_filesystems.h"
#include "host/sysfs.h"

namespace dmsnap {

namespace {

/// As in /proc/self/mountinfo, which unescape() undoes.
std::string escaped(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\') {
      plain += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
    } else {
      plain += c;
    }
  }
  return plain;
}

std::string this_boot() {
  return first_line("/proc/sys/kernel/random/boot_id");
}

}  // namespace

std::string frozen_record(const std::vector<FrozenFilesystem>& frozen) {
  std::string text = this_boot() + "\n";
  for (const auto& each : frozen) {
    text +=
        fmt::format("{}:{} {} {}\n", major(each.device), minor(each.device), escaped(each.type), escaped(each.point));
  }
  return text;
}

std::vector<FrozenFilesystem> read_frozen_record(std::string_view text) {
  std::vector<FrozenFilesystem> frozen;
  std::istringstream lines{std::string(text)};
  std::string line;
  if (!std::getline(lines, line) || line != this_boot()) return frozen;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string device;
    std::string type;
    std::string point;
    unsigned major_number = 0;
    unsigned minor_number = 0;
    if (!(words >> device >> type >> point)) continue;
    if (std::sscanf(device.c_str(), "%u:%u", &major_number, &minor_number) != 2) continue;
    frozen.push_back({.device = makedev(major_number, minor_number), .type = unescape(type), .point = unescape(point)});
  }
  return frozen;
}

ThawedNow thaw_recorded(const std::vector<FrozenFilesystem>& frozen) {
  ThawedNow outcome;
  for (auto each = frozen.rbegin(); each != frozen.rend(); ++each) {
    const auto ways = ways_to(each->device, each->type);
    if (ways.empty()) continue;
    const auto fd = open_filesystem(ways);
    const std::error_code error = fd ? kernel_freeze_calls().thaw(fd->get()) : fd.error();
    if (!error) {
      outcome.thawed.push_back(each->point);
    } else if (error != std::errc::invalid_argument) {
      outcome.failed.push_back(fmt::format("{} on {}: {}", each->type, each->point, error.message()));
    }
  }
  return outcome;
}

}  // namespace dmsnap
