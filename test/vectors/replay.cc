// SPDX-License-Identifier: GPL-2.0-or-later
#include "vectors/replay.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <span>
#include <utility>

#include "dmsnap/error.h"

namespace dmsnap::test {

namespace {

constexpr std::size_t held_bytes = 16 << 20;

Record failed(const std::string& how) {
  return {.result = how, .info = {}, .sha256 = {}};
}

/// All that the engine can fail with here is EIO to whoever asked.
Record outcome(std::error_code error) {
  return error ? failed("EIO") : Record();
}

/// Full of old bytes, and new for all that: the magic is zero.
Bytes used_device(std::uint64_t size) {
  Bytes bytes = stream(0, size);
  std::ranges::fill(std::span(bytes).first(4), std::byte{0});
  return bytes;
}

Extent extent(const std::string& offset, const std::string& length) {
  return {Sector(std::stoull(offset) / sector_bytes), std::stoull(length) / sector_bytes};
}

}  // namespace

Replay::Replay(const Case& described, Blank blank)
    : described_(described), origin_(described.origin_at_start()), rig_(origin_, described.origin_bytes, held_bytes) {
  for (const CowDevice& cow : described.cows) {
    const bool old_bytes = blank == Blank::old_bytes && !cow.file_at_start;
    auto device =
        std::make_unique<FailingDevice>(old_bytes ? used_device(cow.size_bytes) : described.cow_at_start(cow));
    FailingDevice* const raw = device.get();
    targets_[cow.name] = {.cow = raw, .closed = std::move(device)};
  }
}

bool Replay::supports(const Op& op) {
  static const std::set<std::string, std::less<>> verbs{
      "origin-up",  "origin-down", "origin-error", "origin-ok", "origin-delay", "up",         "down",      "cow-error",
      "cow-ok",     "w",           "zero",         "r",         "discard",      "flush",      "status",    "sums",
      "checkpoint", "par",         "endpar",       "sleep",     "merge-up",     "merge-wait", "merge-down"};
  return verbs.contains(op[0]);
}

void Replay::run(std::size_t end) {
  for (std::size_t number = 0; number < end && !testing::Test::HasFailure(); ++number) {
    const Op& op = described_.ops[number];
    SCOPED_TRACE(fmt::format("{}, op {}: {}", described_.name, number, fmt::join(op, " ")));
    const Record ours = carry_out(number);
    settle();
    const auto event = described_.events.find(number);
    const Record recorded = event == described_.events.end() ? Record() : event->second.own;
    EXPECT_EQ(ours.result, recorded.result);
    if (recorded.info) {
      EXPECT_EQ(ours.info, recorded.info);
    }
    if (op[0] == "r") {
      EXPECT_EQ(ours.sha256, recorded.sha256);
    }
    if (event != described_.events.end()) expect_event(event->second);
    for (const Checkpoint& checkpoint : described_.checkpoints) {
      if (checkpoint.after_op == number) expect_checkpoint(checkpoint);
    }
  }
}

Record Replay::carry_out(std::size_t number) {
  const Op& op = described_.ops[number];
  const std::string& verb = op[0];
  if (verb == "up") return up(op);
  if (verb == "down") return down(op);
  if (verb == "r") return read(op);
  if (verb == "w") return write(op, stream(std::stoull(op[4]), std::stoull(op[3])));
  if (verb == "zero") return write(op, Bytes(std::stoull(op[3])));
  if (verb == "discard") return discard(op);
  if (verb == "sleep" || verb.starts_with("merge-")) return merge(number);
  if (verb == "origin-error") origin_.fail(extent(op[1], op[2]));
  if (verb == "origin-ok") origin_.fail({});
  if (verb == "cow-error") targets_.at(op[1]).cow->fail(extent(op[2], op[3]));
  if (verb == "cow-ok") targets_.at(op[1]).cow->fail({});
  return {};
}

Record Replay::up(const Op& op) {
  Target& target = targets_.at(op[1]);
  try {
    // A copy of the device: the one that a refused activation is given goes with it.
    const Bytes before = content_of(*target.cow);
    auto device = std::make_unique<FailingDevice>(before);
    FailingDevice* const raw = device.get();
    const auto chunk = static_cast<std::uint32_t>(std::stoul(op[2]));
    target.open =
        &rig_.add(std::move(device), op[3], {.chunk_sectors = chunk}, {.sectors = described_.snapshot_sectors});
    target.features.assign(op.begin() + 4, op.end());
    target.cow = raw;
    target.closed.reset();
  } catch (const StoreError&) {
    return failed("error");
  }
  return {.info = target.open->view->status(), .sha256 = {}};
}

Record Replay::down(const Op& op) {
  Target& target = targets_.at(op[1]);
  if (target.open == nullptr) return failed("ENOENT");
  target.closed = rig_.close(*std::exchange(target.open, nullptr));
  return {};
}

Record Replay::write(const Op& op, const Bytes& data) {
  ViewFile* const to = file(op[1]);
  return to != nullptr ? outcome(rig_.write(*to, std::stoull(op[2]), data)) : failed("ENOENT");
}

Record Replay::read(const Op& op) {
  ViewFile* const from = file(op[1]);
  if (from == nullptr) return failed("ENOENT");
  Bytes bytes(std::stoull(op[3]));
  Record record = outcome(from->read(std::stoull(op[2]), bytes));
  if (record.result == "ok") record.sha256 = sha256(bytes);
  return record;
}

/// The kernel's, too, reaches the origin past its snapshots when it is passed down to it.
Record Replay::discard(const Op& op) {
  if (op[1] == "origin") return failed("ENOTSUP");
  const Target& target = targets_.at(op[1]);
  const auto has = [&](const char* feature) { return std::ranges::count(target.features, feature) > 0; };
  if (!has("discard_zeroes_cow")) return failed("ENOTSUP");
  const Extent range = extent(op[2], op[3]);
  const std::uint64_t chunk = target.open->store->geometry().chunk_sectors();
  const Bytes zeros(chunk * sector_bytes);
  for (Sector at = range.first; at < range.first + range.sectors; at += chunk) {
    if (!target.open->view->has_durably({at, chunk})) continue;
    if (const auto error = rig_.write(*target.open->file, at.value() * sector_bytes, zeros)) return outcome(error);
  }
  if (!has("discard_passdown_origin")) return {};
  return outcome(origin_.write(range.first, Bytes(range.sectors * sector_bytes)));
}

Record Replay::merge(std::size_t number) {
  const Op& op = described_.ops[number];
  if (op[0] == "merge-up") {
    merge_.emplace(*targets_.at(op[1]).cow, op[3], origin_.sectors(),
                   [this](Sector to, const Bytes& data) { return write_origin(to, data); });
    return {};
  }
  if (op[0] == "merge-wait") {
    merge_->run();
    return {.info = merge_->status(), .sha256 = {}};
  }
  if (const auto stopped_at = next_status(number)) merge_->run(stopped_at);
  if (op[0] == "merge-down") merge_.reset();
  return {};
}

/// Where snapshots need copies first, through the engine; else to the disk, which then answers itself.
std::error_code Replay::write_origin(Sector to, const Bytes& data) {
  if (rig_.snapshots().empty()) return origin_.write(to, data);
  if (const auto error = rig_.write(rig_.origin_file(), to.value() * sector_bytes, data)) return error;
  return rig_.flush(rig_.origin_file());
}

std::optional<std::string> Replay::next_status(std::size_t number) const {
  for (auto event = described_.events.lower_bound(number); event != described_.events.end(); ++event) {
    const auto merging = event->second.devices.find("merge");
    if (merging != event->second.devices.end() && merging->second.info) return merging->second.info;
    if (event->second.own.info) return event->second.own.info;
  }
  return std::nullopt;
}

std::string Replay::status(const std::string& device) const {
  return device == "merge" ? merge_->status() : targets_.at(device).open->view->status();
}

/// What is merged is read from, and written to, the origin.
ViewFile* Replay::file(const std::string& name) {
  if (name == "origin" || name == "merge") return &rig_.origin_file();
  const Target& target = targets_.at(name);
  return target.open != nullptr ? target.open->file.get() : nullptr;
}

void Replay::settle() {
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  for (RigSnapshot& each : rig_.snapshots()) EXPECT_FALSE(rig_.flush(*each.file));
}

Bytes Replay::cow(const std::string& name) {
  return content_of(*targets_.at(name).cow);
}

void Replay::expect_event(const Event& event) {
  expect_devices(event.devices);
  expect_cows(event.cow_sha256);
  if (event.origin_sha256) {
    EXPECT_EQ(sha256(content_of(origin_)), event.origin_sha256);
  }
}

void Replay::expect_devices(const Records& devices) {
  for (const auto& [name, recorded] : devices) {
    SCOPED_TRACE(name);
    ViewFile* const shown = file(name);
    ASSERT_NE(shown, nullptr);
    if (recorded.info) {
      EXPECT_EQ(status(name), recorded.info);
    }
    Bytes content(name == "origin" ? described_.origin_bytes : described_.snapshot_bytes());
    const bool unreadable = static_cast<bool>(shown->read(0, content));
    if (recorded.unreadable) {
      EXPECT_TRUE(unreadable);
    }
    if (recorded.sha256) {
      EXPECT_EQ(sha256(content), recorded.sha256);
    }
  }
}

void Replay::expect_cows(const std::map<std::string, std::string>& sums) {
  if (!compare_cows_) return;
  for (const auto& [name, sum] : sums) EXPECT_EQ(sha256(cow(name)), sum) << "the COW device of " << name;
}

void Replay::expect_checkpoint(const Checkpoint& checkpoint) {
  SCOPED_TRACE("checkpoint " + checkpoint.label);
  EXPECT_EQ(sha256(content_of(origin_)), checkpoint.origin_sha256);
  expect_devices(checkpoint.devices);
  expect_cows(checkpoint.cow_sha256);
}

}  // namespace dmsnap::test
