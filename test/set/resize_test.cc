// SPDX-License-Identifier: GPL-2.0-or-later
// The length of a COW file and what set.json says of it, when a change of it is interrupted anywhere.
#include <memory>

#include "set_rig.h"
#include "system_calls.h"

namespace dmsnap {
namespace {

class SetResize : public SetRig {
 protected:
  static constexpr std::uint64_t before = 4096;

  void start_over() {
    fs::remove_all(store());
    SnapshotSet set(origin(), {});
    PendingStore pending = set.begin_create("old", 8, before);
    set.commit_create(std::move(pending), snapshot("old"));
  }
  /// What the daemon does.
  void resize(SnapshotSet& set, std::uint64_t to) const {
    set.begin_resize("old", before, to);
    const UniqueFd fd = set.open_store("old");
    if (::ftruncate(fd.get(), static_cast<off_t>(to * 512)) != 0 || ::fsync(fd.get()) != 0) std::abort();
    set.finish_resize("old", to);
  }
  /// As the next mount finds it.
  std::uint64_t found() const {
    SnapshotSet set(origin(), {});
    const auto record = set.find("old");
    EXPECT_FALSE(record->resize_to);
    EXPECT_EQ(record->cow_sectors * 512, fs::file_size(in_store("old.cow")));
    EXPECT_TRUE(set.open_store("old"));
    return record->cow_sectors;
  }
};

TEST_F(SetResize, killed_anywhere_it_is_done_or_not_done) {
  for (const std::uint64_t after : {before / 2, before * 2}) {
    bool seen_before = false;
    bool seen_after = false;
    for (int n = 0;; ++n) {
      start_over();
      const bool killed = system_calls::killed_before(n, [&] {
        SnapshotSet set(origin(), {});
        resize(set, after);
      });
      const std::uint64_t is = found();
      EXPECT_TRUE(is == before || is == after) << n;
      EXPECT_FALSE(seen_after && is == before) << n;
      (is == after ? seen_after : seen_before) = true;
      if (!killed) break;
    }
    EXPECT_TRUE(seen_before && seen_after);
  }
}

TEST_F(SetResize, a_third_length_is_refused) {
  start_over();
  SnapshotSet(origin(), {}).begin_resize("old", before, before * 2);
  fs::resize_file(in_store("old.cow"), before * 3 * 512);
  SnapshotSet set(origin(), {});
  EXPECT_SAYS(message_of([&] { static_cast<void>(set.open_store("old")); }), "one of them is wrong");
}

TEST_F(SetResize, a_read_only_open_takes_either_length_and_changes_nothing) {
  start_over();
  SnapshotSet(origin(), {}).begin_resize("old", before, before * 2);
  const std::string text = read_file(in_store("set.json"));
  for (const std::uint64_t length : {before, before * 2}) {
    fs::resize_file(in_store("old.cow"), length * 512);
    SnapshotSet set(origin(), {.read_only = true});
    EXPECT_EQ(set.find("old")->cow_sectors, length);
    EXPECT_TRUE(set.open_store("old"));
  }
  EXPECT_EQ(read_file(in_store("set.json")), text);
}

}  // namespace
}  // namespace dmsnap
