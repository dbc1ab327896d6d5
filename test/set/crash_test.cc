// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <memory>

#include "set_rig.h"
#include "system_calls.h"

namespace dmsnap {
namespace {

using Calls = std::vector<std::string>;

/// What the set does, call by call; and what is left when it is killed in front of each of them, or each fails.
class SetCrash : public SetRig {
 protected:
  /// Makes the set anew, with snapshot "old".
  void start_over() {
    fs::remove_all(store());
    SnapshotSet set(origin(), {});
    create(set, "old");
  }

  /// Opens the set and checks that what it lists and what is in its folder agree. Its names.
  std::vector<std::string> checked_names() {
    SnapshotSet set(origin(), {});
    EXPECT_EQ(set.missing(), std::vector<std::string>());
    EXPECT_FALSE(has_temporary_files(store()));
    std::vector<std::string> names;
    for (const auto& record : set.snapshots()) {
      names.push_back(record.name);
      EXPECT_TRUE(read_file(in_store(record.name + ".cow")).starts_with("SnAp"));
      EXPECT_TRUE(set.open_store(record.name));
    }
    for (const auto& entry : fs::directory_iterator(store())) {
      if (entry.path().extension() == ".cow") {
        EXPECT_TRUE(set.find(entry.path().stem())) << entry.path();
      }
    }
    return names;
  }

  /// `action` killed before each of its calls leaves `before` or `after`, and each of them at least once; once it is
  /// `after` it stays so.
  void kill_everywhere(const std::function<void()>& action, const std::vector<std::string>& before,
                       const std::vector<std::string>& after) {
    bool seen_before = false;
    bool seen_after = false;
    for (int n = 0;; ++n) {
      start_over();
      const bool killed = system_calls::killed_before(n, action);
      const auto names = checked_names();
      EXPECT_TRUE(names == before || names == after) << n;
      EXPECT_FALSE(seen_after && names == before) << n;
      (names == after ? seen_after : seen_before) = true;
      if (!killed) break;
    }
    EXPECT_TRUE(seen_before && seen_after);
  }
};

TEST_F(SetCrash, a_snapshot_is_recorded_between_the_sync_of_its_store_and_its_name) {
  start_over();
  SnapshotSet set(origin(), {});
  PendingStore pending = set.begin_create("new", 8);
  const Calls calls = system_calls::recorded([&] { set.commit_create(std::move(pending), snapshot("new")); });
  EXPECT_EQ(calls, (Calls{"fsync .tmp-new.cow", "unlink .set.json.new", "write .set.json.new", "fsync .set.json.new",
                          "rename .set.json.new -> set.json", "fsync disk.img.dmsnap", "rename .tmp-new.cow -> new.cow",
                          "fsync disk.img.dmsnap"}));
}

TEST_F(SetCrash, several_creates_that_are_killed_anywhere_are_all_done_or_none) {
  kill_everywhere(
      [this] {
        SnapshotSet set(origin(), {});
        std::vector<SnapshotSet::Created> created;
        for (const char* name : {"one", "two", "three"}) {
          created.push_back({.store = set.begin_create(name, 8), .record = snapshot(name)});
          if (::pwrite(created.back().store.fd(), "SnAp", 4, 0) != 4) throw std::runtime_error("format");
        }
        set.commit_create_all(std::move(created));
      },
      {"old"}, {"old", "one", "two", "three"});
}

TEST_F(SetCrash, a_removed_store_is_put_aside_before_it_is_forgotten_and_blanked_after) {
  start_over();
  SnapshotSet set(origin(), {});
  const Calls calls = system_calls::recorded([&] { set.remove("old"); });
  EXPECT_EQ(calls, (Calls{"rename old.cow -> .tmp-old.cow", "fsync disk.img.dmsnap", "unlink .set.json.new",
                          "write .set.json.new", "fsync .set.json.new", "rename .set.json.new -> set.json",
                          "fsync disk.img.dmsnap", "write .tmp-old.cow", "fsync .tmp-old.cow", "unlink .tmp-old.cow",
                          "fsync disk.img.dmsnap"}));
}

TEST_F(SetCrash, a_create_that_is_killed_anywhere_is_done_or_not_done) {
  kill_everywhere(
      [this] {
        SnapshotSet set(origin(), {});
        create(set, "new");
      },
      {"old"}, {"old", "new"});
}

TEST_F(SetCrash, a_remove_that_is_killed_anywhere_is_done_or_not_done) {
  kill_everywhere([this] { SnapshotSet(origin(), {}).remove("old"); }, {"old"}, {});
}

TEST_F(SetCrash, a_rename_is_recorded_before_its_store_is_renamed) {
  start_over();
  SnapshotSet set(origin(), {});
  const Calls record{"unlink .set.json.new", "write .set.json.new", "fsync .set.json.new",
                     "rename .set.json.new -> set.json", "fsync disk.img.dmsnap"};
  Calls expected = record;
  expected.insert(expected.end(), {"rename old.cow -> new.cow", "fsync disk.img.dmsnap"});
  expected.insert(expected.end(), record.begin(), record.end());
  EXPECT_EQ(system_calls::recorded([&] { set.rename("old", "new"); }), expected);
}

TEST_F(SetCrash, a_rename_that_is_killed_anywhere_is_done_or_not_done) {
  kill_everywhere([this] { SnapshotSet(origin(), {}).rename("old", "new"); }, {"old"}, {"new"});
}

TEST_F(SetCrash, a_replacement_that_is_killed_anywhere_leaves_the_old_record_with_the_old_store_or_both_new) {
  bool seen_old = false;
  bool seen_new = false;
  for (int n = 0;; ++n) {
    start_over();
    const bool killed = system_calls::killed_before(n, [this] {
      SnapshotSet set(origin(), {});
      PendingStore pending = set.begin_replace("old", 8);
      if (::pwrite(pending.fd(), "SnAp2", 5, 0) != 5) throw std::runtime_error("formatting the store failed");
      set.commit_replace(std::move(pending), snapshot("old", "P"));
    });
    EXPECT_EQ(checked_names(), std::vector<std::string>{"old"}) << n;
    const bool is_new = SnapshotSet(origin(), {}).find("old")->type == "P";
    EXPECT_EQ(read_file(in_store("old.cow")).starts_with("SnAp2"), is_new) << n;
    EXPECT_FALSE(seen_new && !is_new) << n;
    (is_new ? seen_new : seen_old) = true;
    if (!killed) break;
  }
  EXPECT_TRUE(seen_old && seen_new);
}

/// The file that was there first must never be taken for that of the name that comes later.
TEST_F(SetCrash, a_rename_whose_end_fails_is_finished_before_the_name_is_used_again) {
  for (int n = 5; n < 12; ++n) {
    start_over();
    auto set = std::make_unique<SnapshotSet>(origin(), SetOptions{});
    int calls = 0;
    {
      const system_calls::Watching watching([&](const std::string&) { return calls++ == n ? EIO : 0; });
      set->rename("old", "new");
    }
    try {
      create(*set, "old");
      write_at(in_store("old.cow"), 4, "2");
    } catch (const SetError&) {
      // A folder that could not be synced: nothing is certain any more.
    }
    const bool both = set->find("old").has_value();
    set.reset();
    EXPECT_EQ(checked_names().size(), both ? 2U : 1U) << n;
    EXPECT_FALSE(read_file(in_store("new.cow")).starts_with("SnAp2")) << n;
  }
}

TEST_F(SetCrash, opening_is_done_again_when_it_is_killed_anywhere) {
  const auto interrupted = [this] {
    start_over();
    SnapshotSet set(origin(), {});
    create(set, "halfway");
    create(set, "fleeting", "N");
    set.mark_open();
    fs::rename(in_store("halfway.cow"), in_store(".tmp-halfway.cow"));
    write_file(in_store(".tmp-aborted.cow"), "SnAp");
    write_file(in_store(".set.json.new"), "{");
  };
  for (int n = 0;; ++n) {
    interrupted();
    const bool killed = system_calls::killed_before(n, [this] { SnapshotSet set(origin(), {}); });
    EXPECT_EQ(checked_names(), (std::vector<std::string>{"old", "halfway"})) << n;
    if (!killed) break;
  }
}

TEST_F(SetCrash, a_first_open_that_is_killed_anywhere_is_followed_by_a_good_one) {
  for (int n = 0;; ++n) {
    fs::remove_all(store());
    const bool killed = system_calls::killed_before(n, [this] { SnapshotSet set(origin(), {}); });
    EXPECT_EQ(checked_names(), std::vector<std::string>());
    if (!killed) break;
  }
}

TEST_F(SetCrash, a_call_that_fails_leaves_a_create_done_or_not_done_and_says_which) {
  for (int n = 0;; ++n) {
    start_over();
    auto set = std::make_unique<SnapshotSet>(origin(), SetOptions{});
    int calls = 0;
    bool thrown = false;
    std::string failed;
    {
      const system_calls::Watching watching([&](const std::string& call) {
        if (calls++ != n) return 0;
        failed = call;
        return EIO;
      });
      try {
        create(*set, "new");
      } catch (const std::runtime_error&) {
        thrown = true;
      }
    }
    const bool listed = set->find("new").has_value();
    EXPECT_EQ(listed, !thrown) << failed;
    const bool unsure = thrown && failed == "fsync disk.img.dmsnap";
    if (thrown && !unsure) {
      EXPECT_FALSE(has_temporary_files(store())) << failed;
    }
    if (unsure) {
      EXPECT_THROW(create(*set, "another"), SetError);
    }
    set.reset();
    const auto names = checked_names();
    if (!unsure) {
      EXPECT_EQ(names.size(), listed ? 2U : 1U) << failed;
    }
    if (calls <= n) break;
  }
}

TEST_F(SetCrash, a_call_that_fails_leaves_a_remove_done_or_not_done_and_says_which) {
  for (int n = 0;; ++n) {
    start_over();
    auto set = std::make_unique<SnapshotSet>(origin(), SetOptions{});
    int calls = 0;
    bool thrown = false;
    std::string failed;
    {
      const system_calls::Watching watching([&](const std::string& call) {
        if (calls++ != n) return 0;
        failed = call;
        return ENOSPC;
      });
      try {
        set->remove("old");
      } catch (const std::runtime_error&) {
        thrown = true;
      }
    }
    EXPECT_EQ(set->find("old").has_value(), thrown) << failed;
    if (set->find("old") && n < 6) {
      EXPECT_TRUE(set->open_store("old")) << failed;
    }
    set.reset();
    const auto names = checked_names();
    if (failed != "fsync disk.img.dmsnap") {
      EXPECT_EQ(names.size(), thrown ? 1U : 0U) << failed;
    }
    if (calls <= n) break;
  }
}

TEST_F(SetCrash, before_the_first_origin_write_the_set_is_durably_open) {
  start_over();
  SnapshotSet set(origin(), {});
  EXPECT_SAYS(read_file(in_store("set.json")), "\"state\": \"closed\"");
  EXPECT_EQ(system_calls::recorded([&] { set.mark_open(); }).back(), "fsync disk.img.dmsnap");
  EXPECT_SAYS(read_file(in_store("set.json")), "\"state\": \"open\"");
  EXPECT_EQ(system_calls::recorded([&] { set.mark_open(); }), Calls());
  EXPECT_EQ(system_calls::recorded([&] { set.mark_closed(); }).front(), "fsync disk.img");
  EXPECT_SAYS(read_file(in_store("set.json")), "\"state\": \"closed\"");
}

TEST_F(SetCrash, a_store_that_is_dropped_again_leaves_nothing) {
  start_over();
  SnapshotSet set(origin(), {});
  {
    const PendingStore pending = set.begin_create("new", 8);
    EXPECT_TRUE(has_temporary_files(store()));
    EXPECT_SAYS(message_of([&] { set.begin_create("new", 8); }), "is being created or removed");
  }
  EXPECT_FALSE(has_temporary_files(store()));
  create(set, "new");
}

}  // namespace
}  // namespace dmsnap
