// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/unique_fd.h"

namespace dmsnap {

namespace fs = std::filesystem;

/// A folder that is gone afterwards.
class HostRig : public testing::Test {
 protected:
  HostRig() {
    std::string pattern = (fs::temp_directory_path() / "dmsnap-host-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~HostRig() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder(const std::string& name) const {
    fs::create_directory(path(name));
    return path(name);
  }
  std::string file(const std::string& name, off_t size) const {
    const UniqueFd fd(::open(path(name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(::ftruncate(fd.get(), size), 0);
    return path(name);
  }
  static UniqueFd opened(const std::string& path) { return UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC)); }
  /// Quietly; the exit status.
  static int run(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()); }

  template <class Action>
  static std::string message_of(Action action) {
    try {
      action();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "(nothing was thrown)";
  }

 private:
  std::string folder_;
};

/// A loop device over a file, detached afterwards; none where there are none to be had.
class Loop {
 public:
  explicit Loop(const std::string& file) {
    const UniqueFd backing(::open(file.c_str(), O_RDWR | O_CLOEXEC));
    const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    for (int tries = 0; control && tries < 20; ++tries) {
      const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
      if (number < 0) return;
      const std::string path = "/dev/loop" + std::to_string(number);
      UniqueFd device(::open(path.c_str(), O_RDWR | O_CLOEXEC));
      if (!device || ::ioctl(device.get(), LOOP_SET_FD, backing.get()) != 0) continue;
      path_ = path;
      device_ = std::move(device);
      return;
    }
  }
  ~Loop() {
    if (device_) ::ioctl(device_.get(), LOOP_CLR_FD, 0);
  }
  explicit operator bool() const { return static_cast<bool>(device_); }
  const std::string& path() const { return path_; }
  int fd() const { return device_.get(); }

 private:
  std::string path_;
  UniqueFd device_;
};

/// A mount, undone afterwards.
class Mounted {
 public:
  Mounted(const std::string& source, const std::string& point, const char* type, const char* data = nullptr)
      : point_(point), done_(::mount(source.c_str(), point.c_str(), type, 0, data) == 0) {}
  ~Mounted() {
    if (done_) ::umount2(point_.c_str(), MNT_DETACH);
  }
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;
  explicit operator bool() const { return done_; }

 private:
  const std::string point_;
  const bool done_;
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace dmsnap
