// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include <memory>

#include "set_rig.h"

namespace dmsnap {
namespace {

/// What may be opened as an origin, a folder, a set; and who may.
using SetOpen = SetRig;

TEST_F(SetOpen, what_is_no_image_is_refused_with_what_to_do) {
  const auto verdict = [](const std::string& what, SetOptions options = {}) {
    return message_of([&] { SnapshotSet set(what, options); });
  };
  EXPECT_SAYS(verdict(path("nothing")), "No such file");
  EXPECT_SAYS(verdict(path("")), "is a directory");
  EXPECT_SAYS(verdict(path(""), {.read_only = true}), "is a directory");
  EXPECT_SAYS(verdict("/dev/null"), "is neither a file nor a block device");
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_SAYS(verdict(path("fifo")), "is neither a file nor a block device");
  EXPECT_SAYS(verdict(path("fifo"), {.read_only = true}), "is neither a file nor a block device");
  write_file(path("empty"), "");
  EXPECT_SAYS(verdict(path("empty")), "truncate -s 10G");
  write_file(path("tiny"), "x");
  EXPECT_SAYS(verdict(path("tiny")), "smaller than a sector");
  EXPECT_FALSE(fs::exists(path("tiny.dmsnap")));
}

TEST_F(SetOpen, an_image_in_another_format_is_refused_unless_it_is_said_to_be_raw) {
  write_at(origin(), 0, "QFI\xfb");
  EXPECT_SAYS(refusal(), "qemu-img convert -O raw " + origin());
  EXPECT_FALSE(fs::exists(store()));
  EXPECT_EQ(refusal({.format_raw = true}), "(nothing was thrown)");
  write_at(origin(), 0, "SnAp");
  EXPECT_SAYS(refusal(), "COW device");
}

TEST_F(SetOpen, a_size_that_is_no_multiple_of_512_is_read_only) {
  ASSERT_EQ(::truncate(origin().c_str(), 1000), 0);
  SnapshotSet set(origin(), {});
  EXPECT_SAYS(set.read_only_reason(), "no multiple of 512");
  EXPECT_SAYS(set.origin_read_only_reason(), "no multiple of 512");
  EXPECT_THROW(set.mark_open(), SetError);
  EXPECT_FALSE(fs::exists(store()));
}

TEST_F(SetOpen, links_to_an_origin_lead_to_its_one_set) {
  fs::create_symlink(origin(), path("link"));
  SnapshotSet set(path("link"), {});
  EXPECT_EQ(set.origin_path(), origin());
  EXPECT_EQ(set.folder_path(), store());
}

TEST_F(SetOpen, the_folder_is_private_and_a_strange_one_is_refused) {
  make_set();
  struct stat status {};
  ASSERT_EQ(::stat(store().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  ASSERT_EQ(::stat(in_store("set.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  fs::permissions(store(), fs::perms::all);
  EXPECT_SAYS(refusal(), "chmod o-w " + store());
  fs::permissions(store(), fs::perms::owner_all);
  fs::create_directory_symlink(store(), path("elsewhere"));
  EXPECT_SAYS(refusal({.store = path("elsewhere")}), "is a symbolic link");
  EXPECT_SAYS(refusal({.store = path("elsewhere/")}), "is a symbolic link");
  EXPECT_SAYS(refusal({.store = origin()}), "is no folder");
  EXPECT_SAYS(refusal({.store = path("a/b")}), "No such file");
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::chown(store().c_str(), 12345, 12345), 0);
  EXPECT_SAYS(refusal(), "belongs to user 12345");
}

TEST_F(SetOpen, a_new_set_leaves_nothing_until_it_is_marked_open) {
  { SnapshotSet set(origin(), {}); }
  EXPECT_FALSE(fs::exists(store()));
  fs::create_directory(path("folder"));
  { SnapshotSet set(origin(), {.store = path("folder")}); }
  EXPECT_TRUE(fs::is_empty(path("folder")));
  EXPECT_SAYS(refusal({.offline = true}), "has no set");
  EXPECT_FALSE(fs::exists(store()));
  make_set();
  { SnapshotSet set(origin(), {}); }
  EXPECT_TRUE(fs::exists(in_store("set.json")));
}

TEST_F(SetOpen, files_of_the_set_are_not_reached_through_links) {
  make_set();
  write_file(path("victim"), "precious");
  for (const char* name : {"lock", "set.json"}) {
    fs::rename(in_store(name), path("saved"));
    fs::create_symlink(path("victim"), in_store(name));
    EXPECT_NE(refusal(), "(nothing was thrown)") << name;
    fs::rename(path("saved"), in_store(name));
  }
  EXPECT_EQ(read_file(path("victim")), "precious");
}

TEST_F(SetOpen, a_damaged_record_is_refused_and_left_untouched) {
  {
    SnapshotSet set(origin(), {});
    create(set, "snap");
  }
  const std::string good = read_file(in_store("set.json"));
  for (const std::string& bad : {std::string(), good.substr(0, good.size() / 2), std::string("[1]"),
                                 std::string("{\"format\": 2}"), std::string(200, '\0'), good + "}"}) {
    write_file(in_store("set.json"), bad);
    EXPECT_SAYS(refusal(), in_store("set.json"));
    EXPECT_SAYS(refusal({.force = true}), "nothing was changed");
    EXPECT_EQ(read_file(in_store("set.json")), bad);
    EXPECT_TRUE(fs::exists(in_store("snap.cow")));
  }
  fs::remove(in_store("set.json"));
  EXPECT_SAYS(refusal(), "set.json is missing, but there are COW files (snap.cow)");
  EXPECT_FALSE(fs::exists(in_store("set.json")));
}

TEST_F(SetOpen, a_cow_file_that_nobody_lists_is_left_alone) {
  make_set();
  write_file(in_store("stranger.cow"), "SnAp");
  SnapshotSet set(origin(), {});
  EXPECT_EQ(read_file(in_store("stranger.cow")), "SnAp");
  EXPECT_SAYS(message_of([&] { set.begin_create("stranger", 8); }), "belongs to no snapshot");
}

TEST_F(SetOpen, reading_only_writes_nothing_and_shares) {
  {
    SnapshotSet set(origin(), {.read_only = true});
    EXPECT_EQ(set.folder_fd(), -1);
    EXPECT_FALSE(fs::exists(store()));
  }
  {
    SnapshotSet set(origin(), {});
    create(set, "snap");
  }
  fs::rename(in_store("snap.cow"), in_store(".tmp-snap.cow"));
  const std::string before = read_file(in_store("set.json"));
  SnapshotSet first(origin(), {.read_only = true});
  SnapshotSet second(origin(), {.read_only = true});
  EXPECT_EQ(first.missing(), std::vector<std::string>());
  EXPECT_TRUE(first.open_store("snap"));
  EXPECT_TRUE(second.open_store("snap"));
  EXPECT_THROW(first.mark_open(), SetError);
  EXPECT_THROW(first.remove("snap"), SetError);
  EXPECT_EQ(read_file(in_store("set.json")), before);
  EXPECT_TRUE(fs::exists(in_store(".tmp-snap.cow")));
  EXPECT_SAYS(refusal(), "is in use by another process; stop it first: fuser -v " + in_store("lock"));
}

/// A process that has the set open until it is killed.
class OtherProcess {
 public:
  OtherProcess(const std::string& origin, const SetOptions& options) {
    int ready[2];
    if (::pipe(ready) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      const auto set = std::make_unique<SnapshotSet>(origin, options);
      if (::write(ready[1], "x", 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    char byte = 0;
    ::close(ready[1]);
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
  }
  ~OtherProcess() { kill(); }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
};

TEST_F(SetOpen, a_second_process_is_refused_and_told_who_has_the_set) {
  OtherProcess other(origin(), {.mountpoint = "/mnt/live"});
  const std::string message = refusal();
  EXPECT_SAYS(message, fmt::format("in use by process {} (", other.pid()));
  EXPECT_SAYS(message, "set_test");
  EXPECT_SAYS(message, "mounted on /mnt/live; unmount it first: dmsnap umount /mnt/live");
  EXPECT_SAYS(refusal({.read_only = true}), fmt::format("in use by process {} (", other.pid()));
  other.kill();
  EXPECT_EQ(refusal(), "(nothing was thrown)");
}

TEST_F(SetOpen, one_origin_cannot_be_written_by_two_sets) {
  fs::create_directory(path("one"));
  OtherProcess other(origin(), {.store = path("one")});
  EXPECT_SAYS(refusal({.store = path("two")}), "is in use by another program, which has locked it");
  EXPECT_FALSE(fs::exists(path("two")));
  EXPECT_SAYS(refusal({.read_only = true}), "which has locked it");
  other.kill();
  EXPECT_EQ(refusal({.store = path("two")}), "(nothing was thrown)");
}

TEST_F(SetOpen, an_origin_that_another_program_has_locked_is_refused) {
  const UniqueFd fd(::open(origin().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::flock(fd.get(), LOCK_SH), 0);
  EXPECT_SAYS(refusal(), "which has locked it");
  EXPECT_EQ(refusal({.read_only = true}), "(nothing was thrown)");
}

TEST_F(SetOpen, the_holder_can_be_recorded_again) {
  SnapshotSet set(origin(), {.mountpoint = "/a/long/mount/point"});
  EXPECT_EQ(read_file(in_store("lock")), fmt::format("{} /a/long/mount/point\n", ::getpid()));
  set.record_holder("");
  EXPECT_EQ(read_file(in_store("lock")), fmt::format("{}\n", ::getpid()));
}

TEST_F(SetOpen, the_callers_descriptor_serves_as_the_origin) {
  const UniqueFd fd(::open(origin().c_str(), O_RDONLY | O_CLOEXEC));
  SnapshotSet set(origin(), {.origin_fd = fd.get()});
  EXPECT_SAYS(set.read_only_reason(), "was opened to be read only");
  EXPECT_NE(set.origin_fd(), fd.get());
}

}  // namespace
}  // namespace dmsnap
