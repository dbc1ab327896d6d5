// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/freezer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <map>
#include <thread>

#include "base/mutex.h"
#include "base/system_error.h"
#include "host/freeze_helper.h"
#include "host/frozen_record.h"
#include "host/mount_table.h"

namespace dmsnap {
namespace {

using Calls = std::vector<std::string>;

/// Filesystems "a", "b", ..., that remember what was done to them.
class FakeFilesystems final : public FreezeCalls {
 public:
  FilesystemStack find(const BackingFile& file) override {
    MutexLock lock(mutex_);
    calls_.push_back("find " + file.path);
    return stack;
  }
  Result<UniqueFd> open(const StackedFilesystem& filesystem) override {
    UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    MutexLock lock(mutex_);
    calls_.push_back("open " + filesystem.point);
    if (cannot_open == filesystem.point) return failure(errc(std::errc::permission_denied));
    names_[fd.get()] = filesystem.point;
    return fd;
  }
  std::error_code sync(int fd) override { return done("sync ", fd, {}); }
  std::error_code freeze(int fd) override {
    const std::string name = name_of(fd);
    return done("freeze ", fd, freeze_outcomes.contains(name) ? freeze_outcomes[name] : std::error_code());
  }
  std::error_code thaw(int fd) override {
    const std::string name = name_of(fd);
    return done("thaw ", fd, thaw_outcomes.contains(name) ? thaw_outcomes[name] : std::error_code());
  }
  Calls calls() const {
    MutexLock lock(mutex_);
    return calls_;
  }
  /// Freezes and thaws only.
  Calls freezes() const {
    Calls some;
    for (const std::string& each : calls()) {
      if (each.starts_with("freeze") || each.starts_with("thaw")) some.push_back(each);
    }
    return some;
  }

  // Before anything is asked.
  FilesystemStack stack;
  std::string cannot_open;
  std::map<std::string, std::error_code> freeze_outcomes;
  std::map<std::string, std::error_code> thaw_outcomes;

 private:
  std::error_code done(const std::string& what, int fd, std::error_code outcome) {
    MutexLock lock(mutex_);
    calls_.push_back(what + names_[fd]);
    return outcome;
  }
  std::string name_of(int fd) {
    MutexLock lock(mutex_);
    return names_[fd];
  }

  mutable Mutex mutex_;
  Calls calls_ GUARDED_BY(mutex_);
  std::map<int, std::string> names_ GUARDED_BY(mutex_);
};

class FreezerTest : public testing::Test {
 protected:
  FreezerTest() {
    for (const char* point : {"a", "b", "c"})
      filesystems_.stack.filesystems.push_back({.type = "ext4", .point = point});
  }
  void begin(std::chrono::milliseconds limit = std::chrono::seconds(100)) {
    std::array<int, 2> ends;
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    thread_ = std::thread([this, limit, socket = ends[1]] {
      const UniqueFd its(socket);
      Freezer(its.get(), filesystems_, limit).run();
    });
    helper_.emplace(UniqueFd(ends[0]), 0, std::chrono::seconds(5));
  }
  /// The daemon dies.
  void end() {
    helper_.reset();
    if (thread_.joinable()) thread_.join();
  }
  ~FreezerTest() override { end(); }

  FakeFilesystems filesystems_;
  std::optional<FreezeHelper> helper_;
  std::thread thread_;
};

TEST_F(FreezerTest, everything_is_opened_and_written_out_before_anything_is_frozen) {
  begin();
  const auto found = helper_->find({.path = "/mnt/d/origin", .device = 1, .inode = 2});
  ASSERT_EQ(found.filesystems.size(), 3U);
  EXPECT_EQ(found.filesystems[1].point, "b");
  EXPECT_EQ(found.filesystems[1].type, "ext4");
  EXPECT_EQ(filesystems_.calls(),
            (Calls{"find /mnt/d/origin", "open a", "sync a", "open b", "sync b", "open c", "sync c"}));
}

TEST_F(FreezerTest, thawing_goes_the_other_way_round) {
  begin();
  helper_->find({});
  EXPECT_EQ(helper_->freeze({0, 1, 2}), (Calls{"frozen", "frozen", "frozen"}));
  EXPECT_EQ(helper_->thaw().broken, "");
  EXPECT_EQ(filesystems_.freezes(), (Calls{"freeze a", "freeze b", "freeze c", "thaw c", "thaw b", "thaw a"}));
  EXPECT_EQ(helper_->thaw().broken, "") << "a second time there is nothing to do";
  EXPECT_EQ(filesystems_.freezes().size(), 6U);
}

TEST_F(FreezerTest, all_is_thawed_when_the_daemon_dies) {
  begin();
  helper_->find({});
  helper_->freeze({0, 2});
  end();
  EXPECT_EQ(filesystems_.freezes(), (Calls{"freeze a", "freeze c", "thaw c", "thaw a"}));
}

TEST_F(FreezerTest, all_is_thawed_after_the_time_limit_and_the_daemon_is_told) {
  begin(std::chrono::milliseconds(20));
  helper_->find({});
  helper_->freeze({0, 1});
  while (filesystems_.freezes().size() < 4) std::this_thread::yield();
  EXPECT_EQ(filesystems_.freezes(), (Calls{"freeze a", "freeze b", "thaw b", "thaw a"}));
  const auto thawed = helper_->thaw();
  EXPECT_EQ(thawed.broken, "thawed after 0.02 s, before the snapshot was taken");
  EXPECT_GE(thawed.lasted, std::chrono::milliseconds(20));
  EXPECT_EQ(filesystems_.freezes().size(), 4U);
}

TEST_F(FreezerTest, the_next_freeze_knows_nothing_of_one_that_took_too_long) {
  begin(std::chrono::milliseconds(20));
  helper_->find({});
  helper_->freeze({0});
  while (filesystems_.freezes().size() < 2) std::this_thread::yield();
  helper_->thaw();
  helper_->find({});
  helper_->freeze({});
  EXPECT_EQ(helper_->thaw().broken, "");
}

TEST_F(FreezerTest, one_that_cannot_be_frozen_says_why_and_the_others_are) {
  filesystems_.freeze_outcomes["a"] = errc(std::errc::operation_not_supported);
  filesystems_.freeze_outcomes["b"] = errc(std::errc::operation_not_permitted);
  begin();
  helper_->find({});
  EXPECT_EQ(helper_->freeze({0, 1, 2}),
            (Calls{"a filesystem of this kind cannot be frozen", "Operation not permitted", "frozen"}));
  helper_->thaw();
  EXPECT_EQ(filesystems_.freezes(), (Calls{"freeze a", "freeze b", "freeze c", "thaw c"}));
}

TEST_F(FreezerTest, one_that_somebody_else_froze_counts_and_is_left_to_him) {
  filesystems_.freeze_outcomes["b"] = errc(std::errc::device_or_resource_busy);
  begin();
  helper_->find({});
  EXPECT_EQ(helper_->freeze({0, 1}), (Calls{"frozen", "held"}));
  EXPECT_EQ(helper_->thaw().broken, "");
  const auto freezes = filesystems_.freezes();
  EXPECT_EQ(std::ranges::find(freezes, "thaw b"), freezes.end());
}

TEST_F(FreezerTest, one_that_somebody_else_thawed_is_told) {
  filesystems_.thaw_outcomes["a"] = errc(std::errc::invalid_argument);
  begin();
  helper_->find({});
  helper_->freeze({0, 1});
  EXPECT_EQ(helper_->thaw().broken, "somebody else thawed it before the snapshot was taken");
}

TEST_F(FreezerTest, what_a_process_serves_is_not_even_opened) {
  filesystems_.stack.filesystems[0].type = "fuseblk";
  filesystems_.cannot_open = "b";
  begin();
  const auto found = helper_->find({});
  EXPECT_EQ(found.filesystems[0].why_not, "a filesystem of this kind cannot be frozen");
  EXPECT_EQ(found.filesystems[1].why_not, "it cannot be opened: Permission denied");
  EXPECT_EQ(found.filesystems[2].why_not, "");
  EXPECT_EQ(filesystems_.calls(), (Calls{"find ", "open b", "open c", "sync c"}));
}

TEST_F(FreezerTest, names_of_any_bytes_and_notes_come_through) {
  filesystems_.stack.filesystems = {{.device = 0x701, .type = "xfs", .point = "/a\n b", .read_only = true, .on = 7}};
  filesystems_.stack.notes = {"one", "two"};
  begin();
  const auto found = helper_->find({});
  ASSERT_EQ(found.filesystems.size(), 1U);
  EXPECT_EQ(found.filesystems[0].device, 0x701U);
  EXPECT_EQ(found.filesystems[0].point, "/a\n b");
  EXPECT_EQ(found.filesystems[0].on, 7U);
  EXPECT_TRUE(found.filesystems[0].read_only);
  EXPECT_EQ(found.notes, (Calls{"one", "two"}));
}

TEST(FreezeHelper, one_that_is_dead_or_silent_is_noticed) {
  std::array<int, 2> ends;
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
  const UniqueFd silent(ends[1]);
  FreezeHelper helper(UniqueFd{ends[0]}, 0, std::chrono::milliseconds(10));
  EXPECT_THROW(helper.freeze({0}), FreezeHelperGone);
  EXPECT_TRUE(helper.gone());
  EXPECT_THROW(helper.thaw(), FreezeHelperGone);
}

TEST(FrozenRecord, it_is_read_as_it_was_written_in_this_boot_only) {
  const std::vector<FrozenFilesystem> frozen{{.device = 0x703, .type = "ext4", .point = "/a b\n\\c"},
                                             {.device = 0x10301, .type = "xfs", .point = "/d"}};
  const std::string text = frozen_record(frozen);
  const auto read = read_frozen_record(text);
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[0].device, 0x703U);
  EXPECT_EQ(read[0].point, "/a b\n\\c");
  EXPECT_EQ(read[1].type, "xfs");
  EXPECT_TRUE(read_frozen_record("another boot\n" + text.substr(text.find('\n') + 1)).empty());
  EXPECT_TRUE(read_frozen_record("").empty());
  EXPECT_TRUE(read_frozen_record(text.substr(0, text.find('\n') + 1) + "x y\n7 ext4 /\n").empty());
}

TEST(FrozenRecord, what_is_not_mounted_any_more_is_no_failure) {
  const auto outcome = thaw_recorded({{.device = 0xfff00, .type = "ext4", .point = "/gone"}});
  EXPECT_TRUE(outcome.thawed.empty());
  EXPECT_TRUE(outcome.failed.empty());
}

TEST(MountTable, a_file_is_on_the_filesystem_that_the_table_names) {
  const auto device = filesystem_of("/proc/self/status");
  ASSERT_TRUE(device);
  bool listed = false;
  for (const auto& mount : mount_table()) listed |= mount.device == *device && mount.type == "proc";
  EXPECT_TRUE(listed);
  EXPECT_FALSE(filesystem_of("/not there"));
}

}  // namespace
}  // namespace dmsnap
