// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "set/snapshot_set.h"

namespace dmsnap {

namespace fs = std::filesystem;

/// A folder that is gone afterwards, with an image of 4 MiB in it.
class SetRig : public testing::Test {
 protected:
  SetRig() {
    std::string pattern = (fs::temp_directory_path() / "dmsnap-set-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    write_file(origin(), std::string(4 << 20, 'o'));
  }
  ~SetRig() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string origin() const { return path("disk.img"); }
  std::string store() const { return path("disk.img.dmsnap"); }
  std::string in_store(const std::string& name) const { return store() + "/" + name; }

  static void write_file(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }
  static std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write_at(const std::string& path, off_t offset, const std::string& bytes) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), offset), static_cast<ssize_t>(bytes.size()));
  }
  static timespec mtime_of(const std::string& path) {
    struct stat status {};
    ::stat(path.c_str(), &status);
    return status.st_mtim;
  }
  static void set_mtime(const std::string& path, timespec mtime) {
    const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, mtime};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }

  static SnapshotRecord snapshot(const std::string& name, const std::string& type = "PO") {
    return {.name = name, .type = type, .created = Moment(std::chrono::seconds(1714979289))};
  }
  /// A set that was in use and was closed.
  void make_set() const {
    SnapshotSet set(origin(), {});
    set.mark_open();
    set.mark_closed();
  }
  /// Takes a snapshot whose "store" is the word SnAp.
  static void create(SnapshotSet& set, const std::string& name, const std::string& type = "PO") {
    PendingStore pending = set.begin_create(name, 8);
    if (::pwrite(pending.fd(), "SnAp", 4, 0) != 4) throw std::runtime_error("formatting the store failed");
    set.commit_create(std::move(pending), snapshot(name, type));
  }

  static bool has_temporary_files(const std::string& folder) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename();
      if (name.starts_with(".tmp-") || name.ends_with(".new")) return true;
    }
    return false;
  }

  template <class Action>
  static std::string message_of(Action action) {
    try {
      action();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "(nothing was thrown)";
  }
  std::string refusal(const SetOptions& options = {}) const {
    return message_of([&] { SnapshotSet set(origin(), options); });
  }

 private:
  std::string folder_;
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

#define EXPECT_SAYS(text, part) EXPECT_PRED2(::dmsnap::contains, text, part)

}  // namespace dmsnap
