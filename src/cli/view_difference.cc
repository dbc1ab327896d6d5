// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/view_difference.h"

#include "cli/ask_mount.h"
#include "cli/mounted_view.h"
#include "host/mount_point.h"

namespace dmsnap::cli {

ViewDifference::ViewDifference(std::string_view verb, const std::string& mountpoint, const std::string& a,
                               const std::optional<std::string>& b)
    : verb_(verb), mountpoint_(canonical_mount_point(mountpoint)), request_{{"verb", "diff"}, {"a", a}} {
  if (b) request_["b"] = *b;
  for (const std::string& view : {a, b.value_or("origin")}) sync_mappings(mountpoint_, view);
  ask();
}

void ViewDifference::ask() {
  reply_ = ask_mount(verb_, mountpoint_, request_);
}

void ViewDifference::for_each(const std::function<void(const Extent&)>& differs) {
  for (;;) {
    for (const auto& each : reply_["extents"]) {
      const std::uint64_t length = each.at(1);
      differs({Sector(each.at(0).get<std::uint64_t>() / sector_bytes), (length + sector_bytes - 1) / sector_bytes});
    }
    if (!reply_.contains("next")) return;
    request_["from"] = reply_["next"];
    ask();
  }
}

}  // namespace dmsnap::cli
