// SPDX-License-Identifier: GPL-2.0-or-later
#include <dirent.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstdio>

#include "fuse/mounted_tree.h"

namespace dmsnap::test {
namespace {

class names : public MountedTest {};

int outcome_of_open(const std::string& path, int flags) {
  const UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  return fd ? 0 : errno;
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

std::vector<std::string> listed(const std::string& path) {
  std::vector<std::string> found;
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(path.c_str()));
  EXPECT_TRUE(folder) << path;
  while (folder) {
    const dirent* const entry = ::readdir(folder.get());
    if (entry == nullptr) break;
    found.emplace_back(entry->d_name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string all_of(const UniqueFd& fd) {
  std::string text;
  char piece[4096];
  for (ssize_t n = 0; (n = ::read(fd.get(), piece, sizeof piece)) > 0;) text.append(piece, static_cast<size_t>(n));
  return text;
}

ssize_t put(const UniqueFd& fd, const std::string& text) {
  return ::write(fd.get(), text.data(), text.size());
}

TEST_F(names, dot_dmsnap_is_not_listed) {
  MountedTree m;
  EXPECT_EQ(listed(m.mountpoint()), (std::vector<std::string>{".", "..", "origin", "snapshots"}));
  EXPECT_EQ(listed(m.path(".dmsnap")),
            (std::vector<std::string>{".", "..", "control", "delta", "status", "status.json"}));
}

TEST_F(names, each_of_many_snapshots_is_listed_once) {
  MountedTree m;
  for (int i = 0; i < 200; ++i) m.tree.add_snapshot("a-rather-long-name-of-a-snapshot-" + std::to_string(i));
  auto found = listed(m.path("snapshots"));
  EXPECT_EQ(found.size(), 202U);
  EXPECT_EQ(std::unique(found.begin(), found.end()), found.end());
}

TEST_F(names, what_is_not_there_is_enoent) {
  MountedTree m;
  for (const char* name : {"nothing", "snapshots/nothing", ".dmsnap/nothing", "origin2"}) {
    EXPECT_EQ(outcome(::access(m.path(name).c_str(), F_OK)), ENOENT) << name;
  }
  EXPECT_EQ(outcome(::access(m.path("origin/x").c_str(), F_OK)), ENOTDIR);
}

TEST_F(names, an_absent_name_is_not_remembered) {
  MountedTree m;
  EXPECT_EQ(outcome(::access(m.path("snapshots/s").c_str(), F_OK)), ENOENT);
  m.tree.add_snapshot("s");
  EXPECT_EQ(outcome(::access(m.path("snapshots/s").c_str(), F_OK)), 0);
}

TEST_F(names, attributes_are_those_of_the_image) {
  MountedTree m;
  m.tree.add_snapshot("kept", false);
  struct stat s {};
  ASSERT_EQ(::stat(m.path("origin").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode, S_IFREG | 0600U);
  EXPECT_EQ(s.st_size, static_cast<off_t>(MountedTree::image_size));
  EXPECT_EQ(s.st_blocks, 8);
  EXPECT_EQ(s.st_uid, ::getuid());
  EXPECT_EQ(s.st_gid, ::getgid());
  EXPECT_EQ(s.st_ino, m.tree.image().id());
  EXPECT_EQ(s.st_mtim.tv_sec, 1'000'000'000);
  EXPECT_EQ(s.st_ctim.tv_nsec, 5);
  ASSERT_EQ(::stat(m.path("snapshots/kept").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode, S_IFREG | 0400U);
  ASSERT_EQ(::stat(m.path("snapshots").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode, S_IFDIR | 0700U);
  ASSERT_EQ(::stat(m.path(".dmsnap/control").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode, S_IFREG | 0600U);
}

TEST_F(names, owner_and_mode_are_what_the_image_says) {
  MountedTree m;
  const std::string origin = m.path("origin");
  ASSERT_EQ(outcome(::chmod(origin.c_str(), 0640)), 0);
  EXPECT_EQ(m.tree.image().mode, 0640U);
  struct stat s {};
  ASSERT_EQ(::stat(origin.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode, S_IFREG | 0640U);
  m.tree.image().fail_next(std::make_error_code(std::errc::no_space_on_device));
  EXPECT_EQ(outcome(::chmod(origin.c_str(), 0600)), ENOSPC);
  EXPECT_EQ(m.tree.image().mode, 0640U);
  if (::geteuid() != 0) return;
  ASSERT_EQ(outcome(::chown(origin.c_str(), 12, 34)), 0);
  EXPECT_EQ(m.tree.image().user, 12U);
  EXPECT_EQ(m.tree.image().group, 34U);
}

TEST_F(names, folders_of_a_mount_for_others_can_be_entered) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs user_allow_other";
  MountedTree m({.allow_other = true});
  struct stat s {};
  ASSERT_EQ(::stat(m.mountpoint().c_str(), &s), 0);
  EXPECT_EQ(s.st_mode, S_IFDIR | 0755U);
}

TEST_F(names, an_image_is_open_below_while_it_is_open_above) {
  MountedTree m;
  auto first = m.open("origin");
  const auto second = m.open("origin", O_RDONLY);
  EXPECT_EQ(m.tree.image().handles, 2);
}

TEST_F(names, rm_removes_a_snapshot_and_nothing_else) {
  MountedTree m;
  m.tree.add_snapshot("s");
  EXPECT_EQ(outcome(::unlink(m.path("snapshots/s").c_str())), 0);
  EXPECT_TRUE(m.tree.snapshot_names().empty());
  EXPECT_EQ(outcome(::unlink(m.path("snapshots/s").c_str())), ENOENT);
  EXPECT_EQ(outcome(::unlink(m.path("origin").c_str())), EPERM);
  EXPECT_EQ(outcome(::unlink(m.path(".dmsnap/status").c_str())), EPERM);
  EXPECT_EQ(outcome(::rmdir(m.path("snapshots").c_str())), EPERM);
}

TEST_F(names, rm_of_an_open_snapshot_is_busy) {
  MountedTree m;
  m.tree.add_snapshot("s");
  const auto fd = m.open("snapshots/s");
  EXPECT_EQ(outcome(::unlink(m.path("snapshots/s").c_str())), EBUSY);
  EXPECT_EQ(put(fd, "x"), 1);
  EXPECT_EQ(outcome(::access(m.path("snapshots/s").c_str(), F_OK)), 0);
}

TEST_F(names, what_the_mount_does_not_offer_is_refused_clearly) {
  MountedTree m;
  m.tree.add_snapshot("s");
  const std::string s = m.path("snapshots/s"), n = m.path("snapshots/n"), origin = m.path("origin");
  EXPECT_EQ(outcome_of_open(m.path("n"), O_CREAT | O_RDWR), EPERM);
  EXPECT_EQ(outcome(::mkdir(n.c_str(), 0700)), EPERM);
  EXPECT_EQ(outcome(::symlink("x", n.c_str())), EPERM);
  EXPECT_EQ(outcome(::link(origin.c_str(), n.c_str())), EPERM);
  EXPECT_EQ(outcome(::rename(origin.c_str(), n.c_str())), EPERM);
  EXPECT_EQ(outcome(::chmod(m.path("snapshots").c_str(), 0777)), EPERM);
  EXPECT_EQ(outcome(::chmod(m.path(".dmsnap/control").c_str(), 0666)), EPERM);
  EXPECT_EQ(outcome(::setxattr(origin.c_str(), "user.a", "b", 1, 0)), EOPNOTSUPP);
  EXPECT_EQ(m.tree.snapshot_names(), std::vector<std::string>{"s"});
}

TEST_F(names, the_size_of_an_image_cannot_be_changed) {
  MountedTree m;
  const std::string origin = m.path("origin");
  m.tree.image().set_content(0, "kept");
  EXPECT_EQ(outcome(::truncate(origin.c_str(), static_cast<off_t>(MountedTree::image_size))), 0);
  EXPECT_EQ(outcome(::truncate(origin.c_str(), 0)), EPERM);
  EXPECT_EQ(outcome(::truncate(origin.c_str(), static_cast<off_t>(MountedTree::image_size) + 1)), EPERM);
  EXPECT_EQ(outcome_of_open(origin, O_RDWR | O_TRUNC), EPERM);
  EXPECT_EQ(m.tree.image().handles, 0);
  EXPECT_EQ(m.tree.image().content(0, 4), "kept");
}

TEST_F(names, times_are_taken_silently) {
  MountedTree m;
  EXPECT_EQ(outcome(::utimensat(AT_FDCWD, m.path("origin").c_str(), nullptr, 0)), 0);
}

TEST_F(names, a_read_only_image_is_not_opened_for_writing) {
  MountedTree m;
  m.tree.add_snapshot("kept", false);
  EXPECT_EQ(outcome_of_open(m.path("snapshots/kept"), O_RDWR), ::geteuid() == 0 ? EROFS : EACCES);
  EXPECT_EQ(outcome_of_open(m.path("snapshots/kept"), O_RDONLY), 0);
}

TEST_F(names, df_shows_what_the_tree_says) {
  MountedTree m;
  struct statvfs s {};
  ASSERT_EQ(::statvfs(m.mountpoint().c_str(), &s), 0);
  EXPECT_EQ(s.f_blocks, 4711U);
}

TEST_F(names, a_text_is_made_anew_at_each_open) {
  MountedTree m;
  EXPECT_EQ(all_of(m.open(".dmsnap/status", O_RDONLY)), "status 1\n");
  EXPECT_EQ(all_of(m.open(".dmsnap/status.json", O_RDONLY)), "status.json 2\n");
  EXPECT_EQ(all_of(m.open(".dmsnap/status", O_RDONLY)), "status 3\n");
  EXPECT_EQ(outcome_of_open(m.path(".dmsnap/status"), O_RDWR), EACCES);
}

TEST_F(names, a_control_request_gets_its_reply) {
  MountedTree m;
  const auto fd = m.open(".dmsnap/control");
  EXPECT_EQ(put(fd, "{\"verb\":\"list\"}\n"), 16);
  EXPECT_EQ(all_of(fd), "[{\"verb\":\"list\"}]\n");
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_SET), 0);
  EXPECT_EQ(all_of(fd), "[{\"verb\":\"list\"}]\n") << "from the start again";
  EXPECT_EQ(put(fd, "next\n"), 5);
  EXPECT_EQ(all_of(fd), "[next]\n");
}

TEST_F(names, a_control_reply_can_be_read_in_pieces) {
  MountedTree m;
  const auto fd = m.open(".dmsnap/control");
  EXPECT_EQ(put(fd, "x\n"), 2);
  std::string text;
  for (char c = 0; ::read(fd.get(), &c, 1) == 1;) text += c;
  EXPECT_EQ(text, "[x]\n");
}

TEST_F(names, a_control_request_may_come_in_pieces) {
  MountedTree m;
  const auto fd = m.open(".dmsnap/control");
  EXPECT_EQ(all_of(fd), "");
  EXPECT_EQ(put(fd, "ab"), 2);
  EXPECT_EQ(all_of(fd), "");
  EXPECT_EQ(m.control.handled, 0U);
  EXPECT_EQ(put(fd, "c\n"), 2);
  EXPECT_EQ(all_of(fd), "[abc]\n");
}

TEST_F(names, a_shell_can_ask_with_a_redirection) {
  MountedTree m;
  const std::string command =
      "exec 3<>" + m.path(".dmsnap/control") + "; echo asked >&3; test \"$(cat <&3)\" = '[asked]'";
  EXPECT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(std::system(("echo asked > " + m.path(".dmsnap/control")).c_str()), 0);
  EXPECT_EQ(m.control.handled, 2U);
}

TEST_F(names, half_a_control_request_does_nothing) {
  MountedTree m;
  EXPECT_EQ(put(m.open(".dmsnap/control"), "half"), 4);
  const auto fd = m.open(".dmsnap/control");
  EXPECT_EQ(put(fd, "whole\n"), 6);
  EXPECT_EQ(all_of(fd), "[whole]\n");
  EXPECT_EQ(m.control.handled, 1U);
}

TEST_F(names, a_control_request_that_is_too_long_is_refused_and_dropped) {
  MountedTree m;
  const auto fd = m.open(".dmsnap/control");
  const std::string longest(max_control_request, 'x');
  EXPECT_EQ(put(fd, longest + "\n"), static_cast<ssize_t>(longest.size() + 1));
  EXPECT_EQ(all_of(fd).size(), longest.size() + 3);
  EXPECT_EQ(put(fd, longest), static_cast<ssize_t>(longest.size()));
  EXPECT_EQ(put(fd, "y"), -1);
  EXPECT_EQ(errno, EMSGSIZE);
  EXPECT_EQ(put(fd, "short\n"), 6);
  EXPECT_EQ(all_of(fd), "[short]\n");
  EXPECT_EQ(m.control.handled, 2U);
}

}  // namespace
}  // namespace dmsnap::test
