// SPDX-License-Identifier: GPL-2.0-or-later
#include "set_rig.h"

namespace dmsnap {
namespace {

/// Snapshots of a set that fall through to others.
class SetBases : public SetRig {};

TEST_F(SetBases, a_new_one_is_put_below_others_in_the_same_step_as_it_is_listed) {
  {
    SnapshotSet set(origin(), {});
    create(set, "old");
    set.commit_create(set.begin_create("new", 8), snapshot("new"), {"old"}, Layout::chained);
  }
  SnapshotSet set(origin(), {});
  EXPECT_EQ(set.layout(), Layout::chained);
  EXPECT_EQ(set.find("old")->base, "new");
  EXPECT_EQ(set.snapshots()[0].name, "new");
}

TEST_F(SetBases, what_others_show_is_not_removed_before_they_have_it) {
  {
    SnapshotSet set(origin(), {});
    create(set, "old");
    set.commit_create(set.begin_create("new", 8), snapshot("new"), {"old"});
  }
  {
    SnapshotSet offline(origin(), {.offline = true});
    EXPECT_SAYS(message_of([&] { offline.remove("new"); }), "old show what new has, and would lose it");
  }
  EXPECT_TRUE(fs::exists(in_store("new.cow")));
  {
    SnapshotSet set(origin(), {});
    set.mark_leaving("new");
  }
  SnapshotSet set(origin(), {});
  EXPECT_TRUE(set.find("new")->leaving) << "goes on after a restart";
  set.remove("new", SnapshotSet::Dependants::have_theirs);
  EXPECT_EQ(set.find("old")->base, "");
  EXPECT_FALSE(fs::exists(in_store("new.cow")));
}

TEST_F(SetBases, what_falls_through_to_another_is_known_after_a_restart) {
  {
    SnapshotSet set(origin(), {});
    create(set, "old");
    set.commit_create(set.begin_create("new", 8), snapshot("new"), {"old"});
    create(set, "other");
    set.set_base({"old", "other"}, "");
    EXPECT_SAYS(message_of([&] { set.set_base({"old", "nothing"}, "new"); }), "there is no snapshot \"nothing\"");
  }
  SnapshotSet set(origin(), {});
  EXPECT_EQ(set.find("old")->base, "");
}

TEST_F(SetBases, what_the_origin_is_rolled_back_to_is_not_removed_before_it_has_it) {
  {
    SnapshotSet set(origin(), {});
    create(set, "old");
    set.mark_merging("old");
  }
  {
    SnapshotSet offline(origin(), {.offline = true});
    EXPECT_TRUE(offline.find("old")->merging) << "goes on after a restart";
    EXPECT_SAYS(message_of([&] { offline.remove("old"); }), "the origin is being rolled back to old");
  }
  SnapshotSet set(origin(), {});
  set.remove("old", SnapshotSet::Dependants::have_theirs);
  EXPECT_FALSE(fs::exists(in_store("old.cow")));
}

TEST_F(SetBases, one_merge_is_deferred_at_most_and_it_is_not_once_it_has_begun) {
  SnapshotSet set(origin(), {});
  create(set, "first");
  create(set, "second");
  set.set_deferred("first", true);
  set.set_deferred("second", true);
  EXPECT_FALSE(set.find("first")->deferred);
  EXPECT_TRUE(set.find("second")->deferred);
  set.mark_merging("second");
  EXPECT_FALSE(set.find("second")->deferred);
}

TEST_F(SetBases, a_roll_back_whose_store_is_lost_can_be_given_up) {
  {
    SnapshotSet set(origin(), {});
    create(set, "old");
    set.mark_merging("old");
  }
  fs::remove(in_store("old.cow"));
  SnapshotSet offline(origin(), {.offline = true});
  EXPECT_NO_THROW(offline.remove("old"));
}

TEST_F(SetBases, force_gives_up_what_falls_through_to_a_missing_store) {
  {
    SnapshotSet set(origin(), {});
    create(set, "old");
    set.commit_create(set.begin_create("new", 8), snapshot("new"), {"old"});
    create(set, "other");
  }
  fs::remove(in_store("new.cow"));
  SnapshotSet set(origin(), {.force = true});
  EXPECT_TRUE(set.find("new")->invalid);
  EXPECT_TRUE(set.find("old")->invalid);
  EXPECT_FALSE(set.find("other")->invalid);
  EXPECT_NO_THROW(set.remove("new"));
  EXPECT_EQ(set.find("old")->base, "");
}

}  // namespace
}  // namespace dmsnap
