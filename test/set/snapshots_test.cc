// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mount.h>

#include <thread>

#include "set_rig.h"

namespace dmsnap {
namespace {

/// Snapshots of a set: made, found again, attached, missing, invalid, removed.
class SetSnapshots : public SetRig {
 protected:
  std::string cow(const std::string& name) {
    write_file(path(name), "SnAp" + std::string(12288, 'c'));
    return path(name);
  }
  SnapshotRecord attached(const std::string& name, const std::string& where) {
    SnapshotRecord record = snapshot(name, "P");
    record.cow_sectors = 24;
    record.path = where;
    return record;
  }
};

TEST_F(SetSnapshots, are_found_again_as_they_were_made) {
  SnapshotRecord wanted = snapshot("snap", "P");
  wanted.read_only = true;
  {
    SnapshotSet set(origin(), {});
    PendingStore pending = set.begin_create("snap", 8, 640);
    EXPECT_EQ(pending.cow_sectors(), 640U);
    const UniqueFd fd = set.commit_create(std::move(pending), wanted);
    struct stat status {};
    ASSERT_EQ(::fstat(fd.get(), &status), 0);
    EXPECT_EQ(status.st_size, 640 * 512);
    EXPECT_EQ(status.st_mode & 07777, 0600U);
  }
  wanted.cow_sectors = 640;
  SnapshotSet set(origin(), {});
  EXPECT_EQ(set.snapshots(), std::vector{wanted});
  EXPECT_EQ(set.find("snap"), wanted);
  EXPECT_EQ(set.find("other"), std::nullopt);
  EXPECT_SAYS(message_of([&] { set.begin_create("snap", 8); }), "there is a snapshot snap already");
  EXPECT_SAYS(message_of([&] { set.begin_create("a/b", 8); }), "contains '/'");
  EXPECT_SAYS(message_of([&] { set.remove("other"); }), "there is no snapshot");
}

TEST_F(SetSnapshots, a_record_that_could_not_be_read_back_is_not_written) {
  SnapshotSet set(origin(), {});
  const std::string before = read_file(in_store("set.json"));
  SnapshotRecord record = snapshot("snap", "bogus");
  EXPECT_THROW(set.commit_create(set.begin_create("snap", 8), record), SetError);
  EXPECT_EQ(read_file(in_store("set.json")), before);
  EXPECT_FALSE(has_temporary_files(store()));
}

TEST_F(SetSnapshots, a_missing_store_makes_the_origin_read_only_until_it_is_removed) {
  {
    SnapshotSet set(origin(), {});
    create(set, "kept");
    create(set, "lost");
  }
  fs::remove(in_store("lost.cow"));
  SnapshotSet set(origin(), {});
  EXPECT_EQ(set.missing(), std::vector<std::string>{"lost"});
  EXPECT_EQ(set.read_only_reason(), "");
  EXPECT_SAYS(set.origin_read_only_reason(), "the COW file of lost is missing");
  EXPECT_THROW(set.mark_open(), SetError);
  EXPECT_SAYS(message_of([&] { set.open_store("lost"); }), "is missing");
  set.remove("lost");
  EXPECT_EQ(set.origin_read_only_reason(), "");
  EXPECT_NO_THROW(set.mark_open());
}

TEST_F(SetSnapshots, force_gives_up_a_missing_store_for_good) {
  {
    SnapshotSet set(origin(), {});
    create(set, "lost");
  }
  fs::rename(in_store("lost.cow"), path("found again"));
  { EXPECT_EQ(SnapshotSet(origin(), {.force = true}).origin_read_only_reason(), ""); }
  fs::rename(path("found again"), in_store("lost.cow"));
  SnapshotSet set(origin(), {});
  EXPECT_SAYS(set.find("lost")->invalid.value_or(""), "--force");
}

TEST_F(SetSnapshots, an_invalid_one_stays_invalid_and_the_first_reason_stays) {
  {
    SnapshotSet set(origin(), {});
    create(set, "snap");
    set.set_invalid("snap", "the COW header could not be written");
    set.set_invalid("snap", "later");
  }
  EXPECT_EQ(SnapshotSet(origin(), {}).find("snap")->invalid, "the COW header could not be written");
  write_at(origin(), 0, "the origin matters to nobody now");
  EXPECT_EQ(refusal(), "(nothing was thrown)");
}

TEST_F(SetSnapshots, a_transient_one_does_not_outlive_its_mount) {
  {
    SnapshotSet set(origin(), {});
    create(set, "fleeting", "N");
    create(set, "kept");
  }
  SnapshotSet set(origin(), {});
  EXPECT_FALSE(set.find("fleeting"));
  EXPECT_TRUE(set.find("kept"));
  EXPECT_FALSE(fs::exists(in_store("fleeting.cow")));
}

TEST_F(SetSnapshots, a_store_is_locked_and_one_of_another_length_is_refused) {
  SnapshotSet set(origin(), {});
  create(set, "snap");
  {
    const UniqueFd fd = set.open_store("snap");
    EXPECT_SAYS(message_of([&] { set.open_store("snap"); }), "in use by another program");
  }
  ASSERT_EQ(::truncate(in_store("snap.cow").c_str(), 4096), 0);
  EXPECT_SAYS(message_of([&] { set.open_store("snap"); }), "was cut off");
  ASSERT_EQ(::truncate(in_store("snap.cow").c_str(), 1 << 30), 0);
  EXPECT_SAYS(message_of([&] { set.open_store("snap"); }), "one of them is wrong");
  EXPECT_SAYS(message_of([&] { set.open_store("snap"); }), "dmsnap remove " + origin() + " snap");
}

TEST_F(SetSnapshots, a_removed_store_is_blanked_even_where_somebody_keeps_a_link) {
  SnapshotSet set(origin(), {});
  create(set, "snap");
  fs::create_hard_link(in_store("snap.cow"), path("kept"));
  set.remove("snap");
  EXPECT_FALSE(fs::exists(in_store("snap.cow")));
  EXPECT_EQ(read_file(path("kept")).substr(0, 4096), std::string(4096, '\0'));
}

TEST_F(SetSnapshots, a_cow_is_attached_in_place_and_never_removed) {
  const std::string file = cow("elsewhere");
  fs::create_symlink(file, path("link"));
  {
    SnapshotSet set(origin(), {});
    const UniqueFd fd = set.open_attached("snap", path("link"));
    EXPECT_SAYS(message_of([&] { set.open_attached("again", file); }), "in use by another program");
    set.add_attached({attached("snap", path("link"))});
    EXPECT_SAYS(message_of([&] { set.open_attached("again", file); }), "is the COW of snapshot snap already");
    EXPECT_SAYS(message_of([&] { set.open_attached("snap", cow("third")); }), "is attached from " + file);
  }
  {
    SnapshotSet set(origin(), {});
    EXPECT_EQ(set.find("snap")->path, file);
    EXPECT_TRUE(set.open_store("snap"));
    EXPECT_TRUE(set.open_attached("snap", file)) << "asked for again at each mount";
    set.add_attached({attached("snap", file)});
    EXPECT_EQ(set.snapshots().size(), 1U);
    set.remove("snap");
  }
  EXPECT_TRUE(read_file(file).starts_with("SnApc"));
  EXPECT_TRUE(SnapshotSet(origin(), {}).snapshots().empty());
}

TEST_F(SetSnapshots, an_attached_cow_that_has_moved_is_found_again) {
  const std::string file = cow("before");
  {
    SnapshotSet set(origin(), {});
    set.add_attached({attached("snap", file)});
  }
  fs::rename(file, path("after"));
  SnapshotSet set(origin(), {});
  EXPECT_EQ(set.missing(), std::vector<std::string>{"snap"});
  EXPECT_NE(set.origin_read_only_reason({"other"}), "");
  EXPECT_EQ(set.origin_read_only_reason({"snap"}), "");
  EXPECT_TRUE(set.open_attached("snap", path("after")));
  set.add_attached({attached("snap", path("after"))});
  EXPECT_EQ(set.origin_read_only_reason(), "");
  EXPECT_EQ(set.find("snap")->path, path("after"));
}

TEST_F(SetSnapshots, what_is_no_store_of_its_own_is_not_attached) {
  SnapshotSet set(origin(), {});
  create(set, "snap");
  const auto verdict = [&](const std::string& what) { return message_of([&] { set.open_attached("x", what); }); };
  EXPECT_SAYS(verdict(origin()), "is the origin itself");
  fs::create_hard_link(origin(), path("same"));
  EXPECT_SAYS(verdict(path("same")), "is the origin itself");
  write_file(in_store("other"), "SnAp");
  EXPECT_SAYS(verdict(in_store("other")), "lies in the folder of the set");
  fs::create_hard_link(in_store("snap.cow"), path("alias"));
  EXPECT_SAYS(verdict(path("alias")), "is the COW of snapshot snap already");
  EXPECT_SAYS(verdict("/dev/null"), "is neither a file nor a block device");
  EXPECT_SAYS(verdict(path("nothing")), "No such file");
  EXPECT_SAYS(message_of([&] { set.open_attached("snap", cow("c")); }), "there is a snapshot snap already");
}

TEST_F(SetSnapshots, a_read_only_set_attaches_without_writing) {
  const std::string file = cow("elsewhere");
  SnapshotSet set(origin(), {.read_only = true});
  EXPECT_TRUE(set.open_attached("snap", file));
  set.add_attached({attached("snap", file)});
  EXPECT_TRUE(set.open_store("snap"));
  EXPECT_FALSE(fs::exists(store()));
}

TEST_F(SetSnapshots, can_be_made_and_removed_from_many_threads) {
  SnapshotSet set(origin(), {});
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&set, t] {
        for (int i = 0; i < 8; ++i) {
          const std::string name = fmt::format("s{}.{}", t, i);
          create(set, name);
          if (i % 2 == 0) set.remove(name);
          set.mark_open();
        }
      });
    }
  }
  EXPECT_EQ(set.snapshots().size(), 16U);
}

/// A filesystem of one MiB, full.
class FullDisk : public SetRig {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    fs::create_directory(mount());
    if (::mount("tmpfs", mount().c_str(), "tmpfs", 0, "size=1m") != 0) GTEST_SKIP() << "may not mount";
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) {
      EXPECT_EQ(::umount2(mount().c_str(), MNT_DETACH), 0);
    }
  }
  std::string mount() const { return path("small"); }
  std::string folder() const { return mount() + "/set"; }
  void fill() { write_file(mount() + "/filler", std::string(2 << 20, 'x')); }

 private:
  bool mounted_ = false;
};

TEST_F(FullDisk, a_create_that_finds_no_room_leaves_nothing) {
  SnapshotSet set(origin(), {.store = folder()});
  create(set, "snap");
  const std::string before = read_file(folder() + "/set.json");
  PendingStore pending = set.begin_create("new", 8);
  fill();
  EXPECT_SAYS(message_of([&] { set.commit_create(std::move(pending), snapshot("new")); }), "No space left");
  EXPECT_FALSE(has_temporary_files(folder()));
  EXPECT_EQ(read_file(folder() + "/set.json"), before);
  EXPECT_FALSE(set.find("new"));
  EXPECT_TRUE(set.find("snap"));
}

TEST_F(FullDisk, a_snapshot_can_be_removed_marked_invalid_and_the_set_closed) {
  SnapshotSet set(origin(), {.store = folder()});
  create(set, "snap");
  create(set, "other");
  fill();
  set.mark_open();
  set.set_invalid("other", "full");
  set.remove("snap");
  set.mark_closed();
  EXPECT_FALSE(fs::exists(folder() + "/snap.cow"));
  EXPECT_EQ(set.find("other")->invalid, "full");
}

TEST_F(FullDisk, read_only_storage_is_a_reason_and_no_error) {
  {
    SnapshotSet set(origin(), {.store = folder()});
    create(set, "snap");
  }
  ASSERT_EQ(::mount(nullptr, mount().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  SnapshotSet set(origin(), {.store = folder()});
  EXPECT_EQ(set.read_only_reason(), folder() + " lies on read-only storage");
  EXPECT_TRUE(set.open_store("snap"));
}

TEST_F(FullDisk, an_origin_on_read_only_storage_is_read_only) {
  const std::string image = mount() + "/disk.img";
  write_file(image, std::string(4096, 'o'));
  ASSERT_EQ(::mount(nullptr, mount().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  SnapshotSet set(image, {});
  EXPECT_EQ(set.read_only_reason(), image + " lies on read-only storage");
}

}  // namespace
}  // namespace dmsnap
