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
      "origin-up", "origin-error", "origin-ok", "up",   "down",       "cow-error", "cow-ok", "w", "zero",
      "r",         "flush",        "status",    "sums", "checkpoint", "par",       "endpar"};
  return verbs.contains(op[0]) && (op[0] != "up" || op.size() == 4);
}

void Replay::run() {
  for (std::size_t number = 0; number < described_.ops.size() && !testing::Test::HasFailure(); ++number) {
    const Op& op = described_.ops[number];
    SCOPED_TRACE(fmt::format("{}, op {}: {}", described_.name, number, fmt::join(op, " ")));
    const Record ours = carry_out(op);
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

Record Replay::carry_out(const Op& op) {
  const std::string& verb = op[0];
  if (verb == "up") return up(op);
  if (verb == "down") return down(op);
  if (verb == "r") return read(op);
  if (verb == "w") return write(op, stream(std::stoull(op[4]), std::stoull(op[3])));
  if (verb == "zero") return write(op, Bytes(std::stoull(op[3])));
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
    target.open = &rig_.add(std::move(device), op[3], {.chunk_sectors = chunk});
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

ViewFile* Replay::file(const std::string& name) {
  if (name == "origin") return &rig_.origin_file();
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
      EXPECT_EQ(targets_.at(name).open->view->status(), recorded.info);
    }
    Bytes content(described_.snapshot_bytes());
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
