// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/on_all_cores.h"

#include <future>
#include <system_error>
#include <thread>
#include <vector>

namespace dmsnap {

void on_all_cores(const std::function<void()>& work) {
  std::vector<std::future<void>> others;
  try {
    for (unsigned core = 1; core < std::thread::hardware_concurrency(); ++core) {
      others.push_back(std::async(std::launch::async, work));
    }
  } catch (const std::system_error&) {
    // No more threads: those that are there do it all.
  }
  work();
  for (auto& other : others) other.get();
}

}  // namespace dmsnap
