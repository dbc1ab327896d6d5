// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/holders.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <functional>

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

TEST_F(Holders, a_loop_device_is_named_with_its_mounts) {
  const std::string image = file("mnt/origin", 16 << 20);
  if (run("mkfs.ext4 -q -F " + image) != 0) GTEST_SKIP() << "no mkfs.ext4";
  const Loop loop(image);
  if (!loop) GTEST_SKIP() << "no loop devices";
  EXPECT_EQ(holders_of(point_), Words{"loop device " + loop.path() + " over origin"});
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
