// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/freezing.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>

#include "base/log.h"
#include "base/system_error.h"
#include "host/mount_table.h"
#include "set/atomic_file.h"

namespace dmsnap {

namespace {

constexpr const char* record_name = "frozen";

std::string named(const FreezeHelper::Filesystem& filesystem) {
  return fmt::format("{} on {}", filesystem.type, filesystem.point);
}

/// Threads that serve requests must not wait for a filesystem that waits for them.
ThawedNow thaw_on_a_thread(const std::vector<FrozenFilesystem>& frozen) {
  ThawedNow outcome;
  std::jthread([&] {
    pthread_setname_np(pthread_self(), "dmsnap-thaw");
    outcome = thaw_recorded(frozen);
  }).join();
  return outcome;
}

std::string read_file(int folder, const char* name) {
  const UniqueFd fd(::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> piece;
  for (ssize_t got = 0; fd && (got = ::read(fd.get(), piece.data(), piece.size())) > 0;) {
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

std::optional<FreezeMode> parse_freeze_mode(std::string_view word) {
  if (word == "auto") return FreezeMode::automatic;
  if (word == "require") return FreezeMode::require;
  if (word == "no") return FreezeMode::no;
  return std::nullopt;
}

std::string FreezeReport::why_not() const {
  return fmt::format("{}", fmt::join(not_frozen, "; "));
}

void Freezing::thaw_leftovers(const Folder& folder, bool read_only) {
  if (folder.fd < 0) return;
  const std::string text = read_file(folder.fd, record_name);
  if (text.empty()) return;
  const ThawedNow outcome = thaw_recorded(read_frozen_record(text));
  for (const std::string& point : outcome.thawed) {
    log::warning("{} was frozen for a snapshot by a process that died, and is thawed now", point);
  }
  for (const std::string& each : outcome.failed) log::error("may be frozen still; thaw it with fsfreeze -u: {}", each);
  if (outcome.failed.empty() && !read_only) drop_record(folder);
}

FreezeHelper::Found Freezing::find(const BackingFile& file) {
  if (means_.helper != nullptr && !means_.helper->gone()) {
    try {
      return means_.helper->find(file);
    } catch (const FreezeHelperGone& gone) {
      helper_died(gone.what());
    }
  }
  const FilesystemStack stack = filesystems_on(file);
  FreezeHelper::Found found{.filesystems = {}, .notes = stack.notes};
  for (const auto& each : stack.filesystems) {
    found.filesystems.push_back({.device = each.device,
                                 .type = each.type,
                                 .point = each.point,
                                 .on = each.on,
                                 .why_not = why_no_helper(),
                                 .read_only = each.read_only});
  }
  return found;
}

/// Of what was found, what is to be frozen.
std::vector<std::size_t> Freezing::choose(const Filesystems& filesystems, const std::vector<std::string>& needed,
                                          FreezeReport& report) const {
  std::vector<std::string> needed_for(filesystems.size());
  for (const std::string& path : needed) {
    const auto device = filesystems.empty() ? std::nullopt : filesystem_of(path);
    const auto found = std::ranges::find(filesystems, device, [](const auto& f) { return std::optional(f.device); });
    if (!device || found == filesystems.end()) continue;
    // And everything that it lies on.
    for (std::optional index = static_cast<std::size_t>(found - filesystems.begin()); index;
         index = filesystems[*index].on) {
      needed_for[*index] = path;
    }
  }
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < filesystems.size(); ++i) {
    const auto& each = filesystems[i];
    if (each.read_only) continue;
    std::string why = each.why_not;
    if (why.empty() && !needed_for[i].empty()) why = fmt::format("the daemon needs it for {}", needed_for[i]);
    if (why.empty()) {
      chosen.push_back(i);
    } else {
      report.not_frozen.push_back(fmt::format("{}: {}", named(each), why));
    }
  }
  return chosen;
}

FreezeReport Freezing::freeze(const Request& request) {
  FreezeReport report;
  FreezeHelper::Found found = find(request.file);
  report.notes = std::move(found.notes);
  looked_ = !found.filesystems.empty();
  const auto chosen = choose(found.filesystems, request.needed, report);
  if (chosen.empty()) return report;
  for (const std::size_t index : chosen) {
    const auto& each = found.filesystems[index];
    frozen_.push_back({.device = each.device, .type = each.type, .point = each.point});
  }
  try {
    if (const auto error = request.drain()) throw std::system_error(error, "flush what was written before");
    record(request.folder);
    freeze_chosen(request, found.filesystems, chosen, report);
  } catch (const std::system_error& error) {
    for (const std::size_t index : chosen) {
      report.not_frozen.push_back(fmt::format("{}: {}", named(found.filesystems[index]), error.what()));
    }
  }
  return report;
}

void Freezing::freeze_chosen(const Request& request, const Filesystems& filesystems,
                             const std::vector<std::size_t>& chosen, FreezeReport& report) {
  since_ = std::chrono::steady_clock::now();
  std::vector<std::string> outcomes(chosen.size());
  try {
    outcomes = means_.helper->freeze(chosen);
  } catch (const FreezeHelperGone& gone) {
    helper_died(gone.what());
    std::ranges::fill(outcomes, gone.what());
    thaw_without_helper(request.folder, report);
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto& each = filesystems[chosen[i]];
    if (outcomes[i] == "frozen" || outcomes[i] == "held") {
      report.frozen.push_back(each.point);
    } else {
      report.not_frozen.push_back(fmt::format("{}: {}", named(each), outcomes[i]));
    }
    // It is somebody else's: not for us to thaw, now or later.
    if (outcomes[i] == "held") std::erase_if(frozen_, [&](const auto& f) { return f.device == each.device; });
  }
  if (std::ranges::find(outcomes, "held") != outcomes.end()) {
    try {
      record(request.folder);
    } catch (const std::system_error& error) {
      log::warning("{}", error.what());
    }
  }
}

void Freezing::thaw(const Folder& folder, FreezeReport& report) {
  if (!std::exchange(looked_, false)) return;
  std::string broken;
  try {
    if (means_.helper == nullptr || means_.helper->gone()) return;
    const FreezeHelper::Thawed thawed = means_.helper->thaw();
    broken = thawed.broken;
    report.lasted = thawed.lasted;
    if (!std::exchange(frozen_, {}).empty()) drop_record(folder);
  } catch (const FreezeHelperGone& gone) {
    helper_died(gone.what());
    thaw_without_helper(folder, report);
    broken = gone.what();
  }
  if (report.frozen.empty()) {
    report.lasted.reset();
    return;
  }
  if (!broken.empty()) {
    report.not_frozen.push_back(fmt::format("{}: {}", fmt::join(report.frozen, ", "), broken));
    report.frozen.clear();
  }
  MutexLock lock(mutex_);
  last_lasted_ = report.lasted;
}

void Freezing::thaw_without_helper(const Folder& folder, FreezeReport& report) {
  const ThawedNow outcome = thaw_on_a_thread(std::exchange(frozen_, {}));
  report.lasted = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - since_);
  for (const std::string& each : outcome.failed) log::error("may be frozen still; thaw it with fsfreeze -u: {}", each);
  if (outcome.failed.empty()) drop_record(folder);
}

/// Before the first is frozen.
void Freezing::record(const Folder& folder) const {
  if (folder.fd < 0) throw std::system_error(errc(std::errc::no_such_file_or_directory), "record what is frozen");
  const std::string path = folder.path + "/" + record_name;
  if (replace_file(folder.fd, record_name, frozen_record(frozen_), path) != Replaced::durably) {
    throw std::system_error(errc(std::errc::io_error), "record what is frozen in " + path);
  }
}

void Freezing::drop_record(const Folder& folder) {
  if (::unlinkat(folder.fd, record_name, 0) == 0) static_cast<void>(sync_folder(folder.fd));
}

void Freezing::helper_died(const std::string& why) {
  log::error("{}: from now on filesystems are not frozen; unmount and mount again", why);
  MutexLock lock(mutex_);
  died_ = why;
}

std::optional<pid_t> Freezing::helper() const {
  MutexLock lock(mutex_);
  if (means_.helper == nullptr || !died_.empty()) return std::nullopt;
  return means_.helper->process();
}

std::string Freezing::why_no_helper() const {
  MutexLock lock(mutex_);
  return means_.helper == nullptr ? means_.why_none : died_;
}

std::optional<std::chrono::microseconds> Freezing::last_lasted() const {
  MutexLock lock(mutex_);
  return last_lasted_;
}

}  // namespace dmsnap
