// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "set_rig.h"

namespace dmsnap {
namespace {

/// How an origin that was used with a snapshot is found at the next open.
class OriginState : public SetRig {
 protected:
  OriginState() { use(/*closed=*/true); }

  void use(bool closed) {
    fs::remove_all(store());
    SnapshotSet set(origin(), {});
    create(set, "snap");
    set.mark_open();
    write_at(origin(), 5000, "written through the mount");
    if (closed) set.mark_closed();
  }
  void touch() {
    timespec mtime = mtime_of(origin());
    mtime.tv_nsec = (mtime.tv_nsec + 1) % 1'000'000'000;
    set_mtime(origin(), mtime);
  }
  void change_keeping_mtime() {
    const timespec mtime = mtime_of(origin());
    write_at(origin(), 100, "behind our back");
    set_mtime(origin(), mtime);
  }
};

TEST_F(OriginState, closed_and_unchanged_is_taken) {
  EXPECT_EQ(refusal(), "(nothing was thrown)");
}

TEST_F(OriginState, closed_and_touched_is_refused_and_force_is_offered) {
  touch();
  EXPECT_SAYS(refusal(), "was touched at");
  EXPECT_SAYS(refusal(), "--force");
  EXPECT_EQ(refusal({.force = true}), "(nothing was thrown)");
  EXPECT_EQ(refusal(), "(nothing was thrown)") << "force is remembered";
}

TEST_F(OriginState, closed_and_changed_is_refused_and_remove_is_offered) {
  write_at(origin(), 100, "behind our back");
  touch();
  const std::string message = refusal();
  EXPECT_SAYS(message, "was changed by something else");
  EXPECT_SAYS(message, "dmsnap remove");
  EXPECT_FALSE(contains(message, "--force"));
  EXPECT_EQ(refusal({.force = true}), "(nothing was thrown)");
}

TEST_F(OriginState, closed_and_changed_with_the_same_time_is_refused) {
  change_keeping_mtime();
  EXPECT_SAYS(refusal(), "was changed by something else");
}

TEST_F(OriginState, an_origin_that_was_in_use_at_a_crash_is_taken) {
  use(/*closed=*/false);
  write_at(origin(), 100, "by the daemon, before it died");
  touch();
  EXPECT_EQ(refusal(), "(nothing was thrown)");
  SnapshotSet set(origin(), {});
  set.mark_closed();
  EXPECT_SAYS(read_file(in_store("set.json")), "\"state\": \"closed\"");
}

TEST_F(OriginState, another_size_is_refused_in_any_state) {
  ASSERT_EQ(::truncate(origin().c_str(), (4 << 20) + 4096), 0);
  EXPECT_SAYS(refusal(), "without its last 4096 bytes");
  EXPECT_FALSE(contains(refusal(), "truncate")) << "cutting it off may destroy data";
  EXPECT_SAYS(refusal({.force = true}), "do not fit it");
  ASSERT_EQ(::truncate(origin().c_str(), 4 << 20), 0);
  use(/*closed=*/false);
  ASSERT_EQ(::truncate(origin().c_str(), 4 << 19), 0);
  EXPECT_SAYS(refusal(), fmt::format("truncate -s {} {}", 4 << 20, origin()));
}

TEST_F(OriginState, nothing_is_compared_without_snapshots) {
  SnapshotSet(origin(), {}).remove("snap");
  write_file(origin(), std::string(1 << 20, 'n'));
  EXPECT_EQ(refusal(), "(nothing was thrown)");
  SnapshotSet set(origin(), {});
  create(set, "snap");
  EXPECT_EQ(set.origin_bytes(), 1U << 20);
}

TEST_F(OriginState, snapshots_can_be_removed_from_an_origin_that_is_refused) {
  ASSERT_EQ(::truncate(origin().c_str(), 4096), 0);
  {
    SnapshotSet set(origin(), {.offline = true});
    EXPECT_THROW(set.mark_open(), SetError);
    EXPECT_THROW(set.mark_closed(), SetError);
    EXPECT_THROW(set.begin_create("x", 8), SetError);
    set.remove("snap");
  }
  EXPECT_EQ(refusal(), "(nothing was thrown)");
}

TEST_F(OriginState, a_set_may_be_copied_with_its_origin) {
  fs::create_directory(path("copy"));
  fs::copy(origin(), path("copy/disk.img"));
  set_mtime(path("copy/disk.img"), mtime_of(origin()));
  fs::copy(store(), path("copy/disk.img.dmsnap"));
  fs::permissions(path("copy/disk.img.dmsnap"), fs::perms::owner_all);
  EXPECT_TRUE(SnapshotSet(path("copy/disk.img"), {}).find("snap"));
}

TEST_F(OriginState, a_refused_origin_leaves_the_set_as_it_was) {
  change_keeping_mtime();
  const std::string before = read_file(in_store("set.json"));
  write_file(in_store(".tmp-x.cow"), "SnAp");
  refusal();
  EXPECT_EQ(read_file(in_store("set.json")), before);
  EXPECT_TRUE(fs::exists(in_store(".tmp-x.cow")));
}

TEST_F(OriginState, unmounting_without_a_write_keeps_the_seal_of_the_last_writer) {
  {
    SnapshotSet set(origin(), {});
    write_at(origin(), 100, "behind our back");
    set.mark_closed();
  }
  touch();
  EXPECT_SAYS(refusal(), "was changed by something else");
}

}  // namespace
}  // namespace dmsnap
