// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace dmsnap {

/// This test program puts its own fsync, renameat, unlinkat, ftruncate and pwrite in front of the C library's: it sees
/// each call before it is made, and may fail it or end the process there.
namespace system_calls {

/// What a call is about to do: "fsync disk.img.dmsnap", "rename a.cow -> .tmp-a.cow", "unlink x", "write set.json".
using Watch = std::function<int(const std::string& call)>;

/// Every call asks `watch` first, from this thread; a result other than 0 is the errno with which the call fails
/// without being made.
class Watching {
 public:
  explicit Watching(Watch watch);
  ~Watching();
};

/// The calls that `action` makes.
std::vector<std::string> recorded(const std::function<void()>& action);

/// Runs `action` in a child process that is killed in front of its n-th call (from 0). False when it made fewer.
bool killed_before(int n, const std::function<void()>& action);

}  // namespace system_calls
}  // namespace dmsnap
