// SPDX-License-Identifier: GPL-2.0-or-later
// How mount(8) and umount(8) call us, and what `-o` means.
#include <gtest/gtest.h>

#include "cli/verbs.h"

namespace dmsnap::cli {
namespace {

using Words = std::vector<std::string>;

Words expand(const std::string& list) {
  return expand_mount_options({"-o", list});
}
Words mount_helper(Words arguments) {
  return helper_arguments("mount.fuse.dmsnap", std::move(arguments)).value();
}
Words umount_helper(Words arguments) {
  return helper_arguments("umount.fuse.dmsnap", std::move(arguments)).value();
}

TEST(MountOptions, each_is_an_option_of_its_own) {
  EXPECT_EQ(expand("store=/a,force"), (Words{"--store=/a", "--force"}));
  EXPECT_EQ(expand("attach=a=/b"), Words{"--attach=a=/b"});
  EXPECT_EQ(expand("log-level=debug"), Words{"--log-level=debug"});
}

TEST(MountOptions, ro_is_read_only) {
  EXPECT_EQ(expand("ro"), Words{"--read-only"});
  EXPECT_EQ(expand("read_only"), Words{"--read-only"});
}

TEST(MountOptions, an_underscore_in_a_name_is_a_dash_and_in_a_value_stays) {
  EXPECT_EQ(expand("allow_other"), Words{"--allow-other"});
  EXPECT_EQ(expand("log_file=/var/my_log"), Words{"--log-file=/var/my_log"});
}

TEST(MountOptions, what_belongs_to_mount_and_fstab_is_left_out) {
  EXPECT_EQ(expand("rw,auto,noauto,user,nouser,users,group,owner,defaults,_netdev,nofail"), Words{});
  EXPECT_EQ(expand("suid,nosuid,dev,nodev,exec,noexec,sync,async,atime,noatime,relatime"), Words{});
  EXPECT_EQ(expand("x-systemd.automount,x-gvfs-show,comment=a"), Words{});
  EXPECT_EQ(expand("noauto,ro,x-systemd.requires=/a"), Words{"--read-only"});
}

TEST(MountOptions, empty_ones_are_left_out) {
  EXPECT_EQ(expand(""), Words{});
  EXPECT_EQ(expand(",,ro,,"), Words{"--read-only"});
}

TEST(MountOptions, an_unknown_one_is_kept_to_be_refused) {
  EXPECT_EQ(expand("nosuch"), Words{"--nosuch"});
  EXPECT_EQ(expand("rw=1"), Words{"--rw=1"}) << "only the whole word is another's";
}

TEST(MountOptions, every_way_to_write_the_list_is_understood) {
  for (const Words& words : {Words{"-o", "ro,force"}, Words{"-oro,force"}, Words{"--option", "ro,force"},
                             Words{"--option=ro,force"}, Words{"-o", "ro", "-o", "force"}}) {
    EXPECT_EQ(expand_mount_options(words), (Words{"--read-only", "--force"})) << words.front();
  }
}

TEST(MountOptions, the_other_words_stay_in_their_places) {
  EXPECT_EQ(expand_mount_options({"mount", "a,ro", "-f", "-o", "force", "b", "--store", "c"}),
            (Words{"mount", "a,ro", "-f", "--force", "b", "--store", "c"}));
}

TEST(MountOptions, a_list_that_is_missing_is_left_to_be_refused) {
  EXPECT_EQ(expand_mount_options({"mount", "a", "b", "-o"}), (Words{"mount", "a", "b", "-o"}));
}

TEST(HelperArguments, under_its_own_name_only_mount_has_a_list_of_options) {
  EXPECT_EQ(helper_arguments("dmsnap", {"mount", "a", "b", "-o", "ro"}), (Words{"mount", "a", "b", "--read-only"}));
  EXPECT_EQ(helper_arguments("dmsnap", {"list", "-o", "ro"}), (Words{"list", "-o", "ro"}));
  EXPECT_EQ(helper_arguments("dmsnap", {}), Words{});
  EXPECT_EQ(helper_arguments("mount.fuse", {"a", "b"}), (Words{"a", "b"}));
}

TEST(HelperArguments, mount_calls_with_the_options_last) {
  EXPECT_EQ(mount_helper({"/disk.img", "/mnt", "-o", "ro,nofail,store=/s"}),
            (Words{"mount", "/disk.img", "/mnt", "--read-only", "--store=/s"}));
  EXPECT_EQ(mount_helper({"/disk.img", "/mnt"}), (Words{"mount", "/disk.img", "/mnt"}));
}

TEST(HelperArguments, what_mount_adds_for_itself_is_dropped_with_its_values) {
  EXPECT_EQ(mount_helper({"/disk.img", "/mnt", "-s", "-n", "-v", "-N", "/proc/1/ns", "-o", "rw", "-t", "fuse.dmsnap"}),
            (Words{"mount", "/disk.img", "/mnt"}));
  EXPECT_EQ(mount_helper({"/disk.img", "/mnt", "-t"}), (Words{"mount", "/disk.img", "/mnt"}));
}

TEST(HelperArguments, a_mount_that_only_pretends_does_nothing) {
  EXPECT_FALSE(helper_arguments("mount.fuse.dmsnap", {"/disk.img", "/mnt", "-f", "-o", "rw"}));
  EXPECT_FALSE(helper_arguments("mount.fuse.dmsnap", {"/disk.img", "/mnt", "-nf"}));
  EXPECT_TRUE(helper_arguments("mount.fuse.dmsnap", {"/disk.img", "/mnt", "-ofoo"}));
}

TEST(HelperArguments, umount_calls_with_a_mountpoint) {
  EXPECT_EQ(umount_helper({"/mnt"}), (Words{"umount", "/mnt"}));
  EXPECT_EQ(umount_helper({"/mnt", "-f", "-n", "-r", "-v", "-N", "/proc/1/ns", "-t", "fuse.dmsnap"}),
            (Words{"umount", "/mnt"}));
}

TEST(HelperArguments, a_lazy_umount_stays_lazy_and_means_nothing_to_mount) {
  EXPECT_EQ(umount_helper({"/mnt", "-l"}), (Words{"umount", "/mnt", "--lazy"}));
  EXPECT_EQ(mount_helper({"/disk.img", "/mnt", "-l"}), (Words{"mount", "/disk.img", "/mnt"}));
}

}  // namespace
}  // namespace dmsnap::cli
