// SPDX-License-Identifier: GPL-2.0-or-later
// Where we differ from the kernel on purpose, and what is not replayed. Everything that is not listed here is as in the
// kernel. dmsnap-format(5), RECORDED CASES, names the same cases; manual_test.py compares.
#include "vectors/deliberate.h"

#include <algorithm>
#include <array>

namespace dmsnap::test {

const Refusal* find_refusal(std::string_view name, std::string_view label) {
  static const std::array refusals{
      Refusal{"crafted-duplicate", "start", "named by an earlier entry",
              "which of the two entries counts is not defined, and kernels differ"},
      Refusal{"crafted-duplicate", "final", "named by an earlier entry",
              "which of the two entries counts is not defined, and kernels differ"},
      Refusal{"crafted-hole", "final", "used by an earlier entry too",
              "the kernel filled the hole; the dead entry behind it lives again, and its COW chunk has two owners"},
      Refusal{"crafted-new-beyond-end", "start", "beyond the end of the COW device",
              "a part of the snapshot is lost: the kernel finds out when it is read, we when it is opened"},
      Refusal{"truncated-data-c1", "start", "beyond the end of the COW device",
              "a part of the snapshot is lost: the kernel finds out when it is read, we when it is opened"},
      Refusal{"transient-N-c8", "final", "magic number",
              "a transient store has no header: what it held is gone when it is closed, and nothing can be opened"},
  };
  const auto found =
      std::ranges::find_if(refusals, [&](const Refusal& r) { return r.name == name && r.label == label; });
  return found == refusals.end() ? nullptr : found;
}

bool blanks_tail(std::string_view name, std::string_view label) {
  // The dead entries behind the hole would come back to life when the hole is filled.
  return name == "crafted-hole" && label == "start";
}

std::span<const NotReplayed> not_replayed() {
  static constexpr std::string_view refused = "made by editing or cutting a COW device, not by operations, and refused";
  static constexpr std::array cases{
      NotReplayed{"crafted-duplicate", 0, refused},
      NotReplayed{"crafted-hole", 8,
                  "the kernel's activation revives the dead entries behind the hole, which were blanked at the start"},
      NotReplayed{"crafted-new-beyond-end", 0, refused},
      NotReplayed{"truncated-data-c1", 0, refused},
  };
  return cases;
}

std::size_t replayed_ops(std::string_view name, std::size_t all) {
  const auto found = std::ranges::find(not_replayed(), name, &NotReplayed::name);
  return found == not_replayed().end() ? all : found->from_op;
}

bool depends_on_timing(std::string_view name) {
  return name == "parallel-c8" || name == "merge-write-during-c8";
}

const Difference* find_difference(std::string_view name) {
  static constexpr std::string_view last_area =
      "the area behind the last chunk would lie beyond the device: the kernel writes data, then fails; we do neither";
  static const std::vector<Difference> differences{
      {"crafted-hole", {1}, "what lies behind the end of the list was blanked; the kernel leaves it in the area"},
      {"edge-of-area-P-c1-34chunks", {33}, last_area},
      {"edge-of-area-P-c8-258chunks", {257}, last_area},
      {"tiny-cow-15sect-c8", {0}, "the kernel refuses the device, but has written a header by then; we write nothing"},
  };
  const auto found = std::ranges::find(differences, name, &Difference::name);
  return found == differences.end() ? nullptr : &*found;
}

std::string test_name(const testing::TestParamInfo<std::string>& of) {
  std::string name = of.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

}  // namespace dmsnap::test
