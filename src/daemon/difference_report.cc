// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/difference_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "daemon/mounted_set.h"
#include "set/image_format.h"
#include "snapshot/difference.h"

namespace dmsnap {

namespace {

/// About 100 KiB of reply.
constexpr std::size_t extents_in_a_page = 4096;

std::string name_of(const MountedSet& set, const View* view) {
  for (const auto& each : set.snapshots()) {
    if (each->view.get() == view) return each->record.name;
  }
  return "origin";
}

void refuse_invalid(const View& view, const std::string& name) {
  const auto* snapshot = dynamic_cast<const Snapshot*>(&view);
  if (snapshot == nullptr || snapshot->state() != SnapshotState::invalid) return;
  throw std::runtime_error(fmt::format("snapshot '{}' is invalid: {}", name, snapshot->reason()));
}

std::shared_ptr<View> base_of(const View& view) {
  const auto* snapshot = dynamic_cast<const Snapshot*>(&view);
  if (snapshot != nullptr) return snapshot->shared_base();
  throw std::runtime_error("the origin falls through to nothing: name what it is compared with");
}

/// While it is rolled back, what differs from the origin moves from the one snapshot's exceptions to the others'.
void refuse_rolled_back(const MountedSet& set, const View& a, const View& b) {
  const auto merge = set.merge_progress();
  const auto concerned = [&](const View& view) { return view.base() == nullptr || name_of(set, &view) == merge->name; };
  if (!merge || (!concerned(a) && !concerned(b))) return;
  throw std::runtime_error(fmt::format("the origin is being rolled back to '{}': wait for it: dmsnap wait {} {}",
                                       merge->name, shell_word(set.mountpoint()), merge->name));
}

nlohmann::json in_bytes(const std::vector<Extent>& extents, std::uint64_t image_bytes) {
  nlohmann::json all = nlohmann::json::array();
  for (const Extent& each : extents) {
    const std::uint64_t offset = each.first.value() * sector_bytes;
    all.push_back({offset, std::min(each.sectors * sector_bytes, image_bytes - offset)});
  }
  return all;
}

}  // namespace

nlohmann::json difference_report(MountedSet& set, const DifferenceRequest& request) {
  const auto a = set.view(request.a);
  refuse_invalid(*a, request.a);
  const auto b = request.b ? set.view(*request.b) : base_of(*a);
  const std::string b_name = request.b ? *request.b : name_of(set, b.get());
  refuse_invalid(*b, b_name);
  refuse_rolled_back(set, *a, *b);
  const Difference difference(a, b);
  if (request.from == 0) {
    if (const auto error = set.settle(*a)) throw std::runtime_error("flush: " + error.message());
  }
  Sector next{};
  const auto extents = difference.extents(Sector(request.from / sector_bytes), extents_in_a_page, next);
  refuse_invalid(*a, request.a);
  refuse_invalid(*b, b_name);
  refuse_rolled_back(set, *a, *b);
  nlohmann::json report{{"a", request.a},
                        {"b", b_name},
                        {"size_bytes", set.size_bytes()},
                        {"chunk_bytes", difference.chunk_sectors() * sector_bytes},
                        {"extents", in_bytes(extents, set.size_bytes())}};
  if (next < Sector(a->sectors())) report["next"] = next.value() * sector_bytes;
  return report;
}

}  // namespace dmsnap
