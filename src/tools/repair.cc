// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/repair.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>

#include "dmsnap/error.h"
#include "snapshot/exception_table.h"
#include "tools/check.h"

namespace dmsnap {

namespace {

/// First pass: which entries are refused, and which chunks they name.
class FindDoubts final : public ScanVisitor {
 public:
  bool exceptions(const MetadataPlace&, const ExceptionRun& run) override {
    if (!named_.insert(run)) return false;
    sound_ += run.length;
    return true;
  }
  void found(const Finding& finding) override {
    findings_.push_back(finding);
    if (finding.entry.length == 0) return;
    refused_.insert(finding.byte);
    origins_.emplace(finding.entry.origin.value(), finding.at);
    copies_.emplace(finding.entry.copy.value(), finding.at);
  }

  std::vector<Finding>& findings() { return findings_; }
  std::uint64_t sound() const { return sound_; }
  bool refused(std::uint64_t byte) const { return refused_.contains(byte); }
  /// The refused entry that names a chunk of `one`.
  std::optional<MetadataPlace> doubt(const ExceptionRun& one) const {
    if (const auto same = origins_.find(one.origin.value()); same != origins_.end()) return same->second;
    if (const auto same = copies_.find(one.copy.value()); same != copies_.end()) return same->second;
    return std::nullopt;
  }

 private:
  ExceptionTable named_;
  std::vector<Finding> findings_;
  absl::flat_hash_set<std::uint64_t> refused_;  // by their bytes
  absl::flat_hash_map<std::uint64_t, MetadataPlace> origins_;
  absl::flat_hash_map<std::uint64_t, MetadataPlace> copies_;
  std::uint64_t sound_ = 0;
};

/// Second pass: hands on what nobody doubts.
class Keep final : public ScanVisitor {
 public:
  Keep(const FindDoubts& doubts, const AreaLayout& layout, Rebuild& into, RepairReport& report)
      : doubts_(doubts), layout_(layout), into_(into), report_(report) {}

  bool exceptions(const MetadataPlace& at, const ExceptionRun& run) override {
    for (std::uint64_t i = 0; i < run.length; ++i) {
      const MetadataPlace place = at.after(i, layout_.entries());
      const ExceptionRun one{.origin = run.origin + i, .copy = run.copy + i};
      if (doubts_.refused(byte(place))) continue;
      if (const auto other = doubts_.doubt(one)) {
        drop(Defect::in_doubt, place, one, other);
      } else {
        take(place, one);
      }
    }
    return true;
  }
  void found(const Finding&) override {}
  void hand_on() {
    if (run_.length > 0) copy(run_at_, run_);
    run_.length = 0;
  }

 private:
  void take(const MetadataPlace& at, const ExceptionRun& one) {
    if (extends(run_, one) && run_at_.after(run_.length, layout_.entries()) == at) {
      ++run_.length;
      return;
    }
    hand_on();
    run_ = one;
    run_at_ = at;
  }
  /// All of the run, or of what can be read of it.
  void copy(const MetadataPlace& at, const ExceptionRun& run) {
    try {
      into_.exceptions(run);
      report_.kept += run.length;
    } catch (const ReadError&) {
      if (run.length == 1) return drop(Defect::copy_unreadable, at, run);
      for (std::uint64_t i = 0; i < run.length; ++i) {
        copy(at.after(i, layout_.entries()), {.origin = run.origin + i, .copy = run.copy + i});
      }
    }
  }
  void drop(Defect defect, const MetadataPlace& at, const ExceptionRun& one,
            std::optional<MetadataPlace> other = std::nullopt) {
    report_.dropped.push_back({{defect, at, byte(at), one, other}});
  }
  std::uint64_t byte(const MetadataPlace& at) const { return byte_of(at, report_.geometry, layout_); }

  const FindDoubts& doubts_;
  const AreaLayout layout_;
  Rebuild& into_;
  RepairReport& report_;
  ExceptionRun run_{.length = 0};
  MetadataPlace run_at_;
};

/// Erases from `chunks` what an entry names.
class EraseNamed final : public ScanVisitor {
 public:
  explicit EraseNamed(absl::flat_hash_set<std::uint64_t>& chunks) : chunks_(chunks) {}
  bool exceptions(const MetadataPlace&, const ExceptionRun& run) override {
    for (std::uint64_t i = 0; i < run.length; ++i) chunks_.erase((run.copy + i).value());
    return true;
  }
  void found(const Finding& finding) override {
    if (finding.entry.length > 0) chunks_.erase(finding.entry.copy.value());
  }

 private:
  absl::flat_hash_set<std::uint64_t>& chunks_;
};

/// What the entries need: a list that fills its areas exactly is ended by one more.
std::uint64_t sectors_needed(const ChunkGeometry& geometry, std::uint64_t entries) {
  const AreaLayout layout(geometry, 0);
  return geometry.first_sector(layout.area(entries / layout.entries()) + 1).value();
}

class Repair {
 public:
  Repair(BlockDevice& damaged, std::optional<std::uint64_t> origin_sectors)
      : damaged_(damaged), origin_sectors_(origin_sectors.value_or(max_device_sectors)) {
    const LoadedHeader header = require_header(damaged);
    report_.geometry = header.geometry;
    report_.valid = header.valid;
  }

  RepairReport run(const Rebuild::MakeDevice& make) {
    FindDoubts doubts;
    const ListEnd end = scan(doubts);
    find_earlier(damaged_, geometry(), origin_chunks(), doubts.findings());
    sort_out(doubts.findings());
    look_behind(end.at);
    report_.cow_sectors = std::max(damaged_.sectors(), sectors_needed(geometry(), doubts.sound()));

    Rebuild rebuild(damaged_, make);
    rebuild.begin(
        {.valid = report_.valid, .chunk_sectors = geometry().chunk_sectors(), .cow_sectors = report_.cow_sectors});
    Keep keep(doubts, layout(), rebuild, report_);
    scan(keep);
    keep.hand_on();
    rebuild.end();

    std::ranges::sort(report_.dropped, {}, [](const DroppedEntry& entry) { return entry.finding.at; });
    for (DroppedEntry& entry : report_.dropped) entry.image = image_of(entry.finding.entry.origin);
    return std::move(report_);
  }

 private:
  const ChunkGeometry& geometry() const { return report_.geometry; }
  AreaLayout layout() const { return {geometry(), damaged_.sectors()}; }
  std::uint64_t origin_chunks() const { return geometry().chunks_touched(origin_sectors_); }
  ListEnd scan(ScanVisitor& visitor) { return scan_exceptions(damaged_, geometry(), origin_chunks(), visitor); }

  void sort_out(const std::vector<Finding>& findings) {
    const auto chunk_of_slot = [&](const Finding& finding) {
      return layout().area(finding.at.area) + 1 + finding.at.used;
    };
    absl::flat_hash_set<std::uint64_t> unnamed;
    for (const Finding& finding : findings) {
      const std::uint64_t chunk = chunk_of_slot(finding).value();
      if (finding.entry.length > 0 && chunk < layout().chunks()) unnamed.insert(chunk);
    }
    EraseNamed erase(unnamed);
    if (!unnamed.empty()) scan(erase);
    for (const Finding& finding : findings) {
      if (finding.entry.length == 0) {
        report_.findings.push_back(finding);
        continue;
      }
      DroppedEntry dropped{finding};
      if (unnamed.contains(chunk_of_slot(finding).value())) dropped.orphan = chunk_of_slot(finding);
      report_.dropped.push_back(dropped);
    }
  }

  void look_behind(const MetadataPlace& end) {
    std::vector<Chunk> chunks;
    report_.behind.end = end;
    scan_behind(damaged_, geometry(), origin_chunks(), end, [&](const ExceptionRun& one) {
      ++report_.behind.count;
      chunks.push_back(one.origin);
    });
    std::ranges::sort(chunks);
    for (const Chunk chunk : chunks) {
      const Extent extent = *image_of(chunk);
      std::vector<Extent>& image = report_.behind.image;
      if (!image.empty() && image.back().end() == extent.first) {
        image.back().sectors += extent.sectors;
      } else if (image.empty() || image.back().end() < extent.first) {
        image.push_back(extent);
      }
    }
  }

  /// The chunk as far as the image goes.
  std::optional<Extent> image_of(Chunk chunk) const {
    if (chunk.value() >= origin_chunks()) return std::nullopt;
    const Sector first = geometry().first_sector(chunk);
    return Extent{first, std::min<std::uint64_t>(geometry().chunk_sectors(), origin_sectors_ - first.value())};
  }

  BlockDevice& damaged_;
  const std::uint64_t origin_sectors_;
  RepairReport report_;
};

}  // namespace

RepairReport repair_store(BlockDevice& damaged, std::optional<std::uint64_t> origin_sectors,
                          const Rebuild::MakeDevice& make) {
  return Repair(damaged, origin_sectors).run(make);
}

}  // namespace dmsnap
