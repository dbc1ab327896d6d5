// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/holders.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <functional>
#include <sstream>

#include "fake_fuse.h"
#include "mounted_image.h"

namespace dmsnap {
namespace {

using Words = std::vector<std::string>;

/// A child that has done something and then waits to be killed.
class Child {
 public:
  explicit Child(const std::function<bool()>& action) {
    int ready[2];
    if (::pipe(ready) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      if (!action() || ::write(ready[1], "x", 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    char byte = 0;
    ::close(ready[1]);
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  std::string text(const std::string& use) const { return fmt::format("process {} (host_test): {}", pid_, use); }

 private:
  pid_t pid_;
};

/// The mount here is a tmpfs: what holds one holds any.
class Holders : public HostRig {
 protected:
  Holders() : point_(folder("mnt")), mounted_("t", point_, "tmpfs", "size=32m") {}
  void SetUp() override {
    if (!mounted_) GTEST_SKIP() << "may not mount";
  }
  const std::string point_;
  const Mounted mounted_;
};

TEST_F(Holders, nobody_holds_an_idle_mount_or_no_mount) {
  EXPECT_EQ(holders_of(point_), Words());
  EXPECT_EQ(holders_of(point_ + "/"), Words());
  EXPECT_EQ(holders_of(folder("plain")), Words());
}

TEST_F(Holders, a_process_is_named_with_its_use) {
  file("mnt/origin", 4096);
  const std::string image = path("mnt/origin");
  {
    const Child child([&] { return ::chdir(point_.c_str()) == 0; });
    EXPECT_EQ(holders_of(point_), Words{child.text("working directory")});
  }
  {
    const Child child([&] { return ::open(image.c_str(), O_RDONLY) >= 0; });
    EXPECT_EQ(holders_of(point_), Words{child.text("open file origin")});
  }
  {
    const Child child([&] {
      const UniqueFd fd = opened(image);
      return ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd.get(), 0) != MAP_FAILED;
    });
    EXPECT_EQ(holders_of(point_), Words{child.text("mapped file origin")});
  }
  EXPECT_EQ(holders_of(point_), Words());
}

TEST_F(Holders, of_one_file_are_only_those_that_have_it_open) {
  const auto open_for_good = [](const std::string& image) {
    return [=] { return ::open(image.c_str(), O_RDONLY) >= 0; };
  };
  const Child of_origin(open_for_good(file("mnt/origin", 4096)));
  const Child of_other(open_for_good(file("mnt/other", 4096)));
  const Child inside([&] { return ::chdir(point_.c_str()) == 0; });
  const Child mapping([&] {
    const UniqueFd fd = opened(path("mnt/other"));
    return ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd.get(), 0) != MAP_FAILED;
  });
  struct stat other {};
  ASSERT_EQ(::stat(path("mnt/other").c_str(), &other), 0);
  EXPECT_EQ(holders_of(point_, MountedFile{.name = "other", .inode = other.st_ino}),
            (Words{of_other.text("open file other"), mapping.text("mapped file other")}));
  EXPECT_EQ(holders_of(point_).size(), 4U);
}

/// What a grandchild, in the mount like its parent and all that it has, is told. The parent bears this name.
Words told_below(const std::string& point, const char* parent_name) {
  int answer[2];
  if (::pipe(answer) != 0) return {"no pipe"};
  const pid_t parent = ::fork();
  if (parent == 0) {
    ::prctl(PR_SET_NAME, parent_name);
    const pid_t asker = ::chdir(point.c_str()) == 0 ? ::fork() : -1;
    if (asker == 0) {
      for (const std::string& each : holders_of(point)) {
        const std::string line = each.substr(each.find('(')) + "\n";
        if (::write(answer[1], line.data(), line.size()) < 0) ::_exit(1);
      }
      ::_exit(0);
    }
    ::waitpid(asker, nullptr, 0);
    ::_exit(0);
  }
  ::close(answer[1]);
  ::waitpid(parent, nullptr, 0);
  Words lines;
  std::array<char, 4096> text{};
  const ssize_t size = ::read(answer[0], text.data(), text.size());
  ::close(answer[0]);
  std::istringstream in(std::string(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0));
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST_F(Holders, who_asks_and_the_umount_that_called_it_are_left_out) {
  for (const char* name : {"umount", "umount.fuse.dmsnap", "sudo"})
    EXPECT_EQ(told_below(point_, name), Words()) << name;
  EXPECT_EQ(told_below(point_, "bash"), Words{"(bash): working directory"});
}

TEST_F(Holders, a_loop_device_is_named_with_its_mounts) {
  const std::string image = file("mnt/origin", 16 << 20);
  if (run("mkfs.ext4 -q -F " + image) != 0) GTEST_SKIP() << "no mkfs.ext4";
  const Loop loop(image);
  if (!loop) GTEST_SKIP() << "no loop devices";
  EXPECT_EQ(holders_of(point_), Words{"loop device " + loop.path() + " over origin"});
  EXPECT_EQ(holders_of(point_, MountedFile{.name = "origin"}), Words{"loop device " + loop.path() + " over origin"});
  EXPECT_EQ(holders_of(point_, MountedFile{.name = "other"}), Words());
  const std::string live = folder("live");
  const Mounted mounted(loop.path(), live, "ext4");
  ASSERT_TRUE(mounted);
  EXPECT_EQ(holders_of(point_), (Words{"loop device " + loop.path() + " over origin, mounted on " + live}));
}

TEST_F(Holders, a_mount_below_is_named) {
  const std::string inner = folder("mnt/inner");
  const Mounted mounted("u", inner, "tmpfs", "size=64k");
  ASSERT_TRUE(mounted);
  EXPECT_EQ(holders_of(point_), Words{"mount " + inner + " below it"});
}

TEST_F(Holders, a_mount_that_does_not_answer_is_not_waited_for) {
  const std::string stuck = folder("stuck");
  FakeFuse fuse(stuck);
  if (!fuse) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(holders_of(stuck), Words());
  EXPECT_EQ(holders_of(point_), Words());
}

}  // namespace
}  // namespace dmsnap
