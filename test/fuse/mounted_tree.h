// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <latch>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "fuse/memory_tree.h"
#include "fuse/session.h"

namespace dmsnap::test {

/// Replies to each request with the request in brackets. What begins with "slow" passes `gate` first, and is no look.
class EchoControl final : public ControlHandler {
 public:
  std::string handle(std::string_view request) override {
    if (!only_looks(request)) gate.pass();
    ++handled;
    return "[" + std::string(request) + "]\n";
  }
  bool only_looks(std::string_view request) const override { return !request.starts_with("slow"); }
  std::atomic<unsigned> handled = 0;
  Gate gate;
};

class TempFolder {
 public:
  TempFolder() {
    char name[] = "/tmp/dmsnap-fuse-test-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw_errno("mkdtemp");
    path_ = name;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() { ::rmdir(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// What a person does, root or not. 0, or errno.
inline int unmount(const std::string& path) {
  if (::geteuid() == 0) return ::umount2(path.c_str(), 0) == 0 ? 0 : errno;
  return std::system(("fusermount3 -u " + path).c_str()) == 0 ? 0 : EBUSY;
}

/// These tests are run once with each.
inline TransportChoice wanted_transport() {
  const char* const name = std::getenv("DMSNAP_TEST_TRANSPORT");
  return name != nullptr && std::string(name) == "io_uring" ? TransportChoice::io_uring : TransportChoice::dev_fuse;
}

inline bool can_mount() {
  return UniqueFd(::open("/dev/fuse", O_RDWR | O_CLOEXEC)).get() >= 0;
}

/// Skips where nothing can be mounted.
class MountedTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "no /dev/fuse here";
  }
};

/// Of a system call: 0, or errno.
inline int outcome(int result) {
  return result == 0 ? 0 : errno;
}

inline std::string read_at(const UniqueFd& fd, std::size_t size, off_t offset) {
  std::string text(size, '\0');
  const ssize_t got = ::pread(fd.get(), text.data(), size, offset);
  EXPECT_GE(got, 0) << std::strerror(errno);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

inline ssize_t write_at(const UniqueFd& fd, const std::string& text, off_t offset) {
  return ::pwrite(fd.get(), text.data(), text.size(), offset);
}

/// Ends a test that hangs. Its threads would hang in the kernel for good, each waiting for another's answer, and could
/// not be killed: so the connection is broken first.
class Watchdog {
 public:
  explicit Watchdog(std::string mountpoint)
      : thread_([this, path = std::move(mountpoint)](std::stop_token stop) { run(stop, path); }) {}

 private:
  void run(std::stop_token stop, const std::string& path) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    never_.wait_for(mutex_, stop, std::chrono::minutes(2), [] { return false; });
    if (stop.stop_requested()) return;
    std::fprintf(stderr, "hangs: breaking the connection of %s\n", path.c_str());
    ::umount2(path.c_str(), MNT_FORCE);
    ::umount2(path.c_str(), MNT_DETACH);
    std::abort();
  }

  Mutex mutex_;
  CondVar never_;
  std::jthread thread_;
};

/// A memory tree, mounted on a folder of its own and served by threads of this process. Unmounted at the end, whatever
/// the test did: only descriptors of files in it must be closed first, so they are declared later.
class MountedTree {
 public:
  static constexpr std::size_t image_size = 4 << 20;

  explicit MountedTree(SessionOptions options = {})
      : session(tree, control, with_mountpoint(std::move(options))), server_([this] {
          session.run();
          returned_.count_down();
        }) {}
  MountedTree(const MountedTree&) = delete;
  MountedTree& operator=(const MountedTree&) = delete;
  ~MountedTree() {
    tree.gate.open();
    control.gate.open();
    session.detach();
  }

  const std::string& mountpoint() const { return folder_.path(); }
  std::string path(const std::string& name) const { return folder_.path() + "/" + name; }
  UniqueFd open(const std::string& name, int flags = O_RDWR) const {
    UniqueFd fd(::open(path(name).c_str(), flags | O_CLOEXEC));
    EXPECT_TRUE(fd) << name << ": " << std::strerror(errno);
    return fd;
  }
  bool is_mounted() const {
    struct stat folder {
    }, parent{};
    return ::stat(mountpoint().c_str(), &folder) == 0 && ::stat("/tmp", &parent) == 0 && folder.st_dev != parent.st_dev;
  }
  bool has_returned() const { return returned_.try_wait(); }
  void await_return() const { returned_.wait(); }

 private:
  SessionOptions with_mountpoint(SessionOptions options) const {
    options.mountpoint = folder_.path();
    if (options.transport == TransportChoice::automatic) options.transport = wanted_transport();
    return options;
  }

  TempFolder folder_;
  Watchdog watchdog_{folder_.path()};
  std::latch returned_{1};

 public:
  MemoryTree tree{image_size};
  EchoControl control;
  Session session;

 private:
  std::jthread server_;
};

}  // namespace dmsnap::test
