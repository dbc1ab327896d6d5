// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metrics_report.h"

#include <array>
#include <functional>

#include "daemon/mounted_set.h"
#include "daemon/prometheus_text.h"
#include "daemon/status_report.h"
#include "dmsnap/version.h"
#include "snapshot/file_counters.h"

namespace dmsnap {

namespace {

constexpr double microsecond = 1e-6;

struct Counted {
  FileKind kind;
  FileOperation operation;
  std::string_view target;
  std::string_view name;
};
constexpr std::array<Counted, file_kinds * file_operations> all_counted{{
    {FileKind::origin, FileOperation::read, "origin", "read"},
    {FileKind::origin, FileOperation::write, "origin", "write"},
    {FileKind::origin, FileOperation::zero, "origin", "zero"},
    {FileKind::origin, FileOperation::flush, "origin", "flush"},
    {FileKind::snapshot, FileOperation::read, "snapshot", "read"},
    {FileKind::snapshot, FileOperation::write, "snapshot", "write"},
    {FileKind::snapshot, FileOperation::zero, "snapshot", "zero"},
    {FileKind::snapshot, FileOperation::flush, "snapshot", "flush"},
}};

void add_operations(PrometheusText& text) {
  std::array<FileCounters::Counts, all_counted.size()> counts;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    counts[i] = FileCounters::counts(all_counted[i].kind, all_counted[i].operation);
  }
  const auto each = [&](const std::function<void(PrometheusText::Labels, const FileCounters::Counts&)>& tell) {
    for (std::size_t i = 0; i < counts.size(); ++i) {
      tell({{"target", all_counted[i].target}, {"operation", all_counted[i].name}}, counts[i]);
    }
  };
  text.metric("dmsnap_operations_total", "counter", "Operations on the origin and on snapshots, failed ones too.");
  each([&](auto labels, const auto& c) { text.sample(labels, static_cast<double>(c.operations)); });
  text.metric("dmsnap_operation_errors_total", "counter", "Operations that failed.");
  each([&](auto labels, const auto& c) { text.sample(labels, static_cast<double>(c.errors)); });
  text.metric("dmsnap_operation_bytes_total", "counter", "Bytes read, written or zeroed.");
  each([&](auto labels, const auto& c) { text.sample(labels, static_cast<double>(c.bytes)); });
  text.metric("dmsnap_operation_duration_seconds", "histogram",
              "How long operations took; of those that need no waiting, one in 16 was timed for all.");
  each([&](auto labels, const auto& c) { text.histogram(labels, c.microseconds, microsecond); });
}

void add_waves(PrometheusText& text, const WaveCounters& waves) {
  text.metric("dmsnap_copied_chunks_total", "counter", "Chunks copied into snapshots before they were overwritten.");
  text.sample({}, static_cast<double>(waves.copied_chunks.load(std::memory_order_relaxed)));
  text.metric("dmsnap_copied_bytes_total", "counter", "Bytes of these chunks.");
  text.sample({}, static_cast<double>(waves.copied_bytes.load(std::memory_order_relaxed)));
  text.metric("dmsnap_wave_duration_seconds", "histogram", "How long the waves took that make writes durable.");
  text.histogram({}, waves.microseconds.counts(), microsecond);
  text.metric("dmsnap_commit_duration_seconds", "histogram", "How long a wave took to make exceptions durable.");
  text.histogram({}, waves.commit_microseconds.counts(), microsecond);
  text.metric("dmsnap_commit_batch_runs", "histogram", "New runs of exceptions for which there was a wave.");
  text.histogram({}, waves.commits.counts(), 1);
}

void add_set(PrometheusText& text, const MountedSet& set) {
  text.metric("dmsnap_info", "gauge", "Always 1; the labels say what is mounted.");
  text.sample({{"version", version}, {"origin", set.origin_name()}, {"mountpoint", set.mountpoint()}}, 1);
  text.metric("dmsnap_origin_size_bytes", "gauge", "Size of the origin.");
  text.sample({}, static_cast<double>(set.size_bytes()));
  text.metric("dmsnap_read_only", "gauge", "1 when nothing can be written.");
  text.sample({}, set.read_only() ? 1 : 0);
  text.metric("dmsnap_held_bytes", "gauge", "Memory taken by writes that wait for the copies of what they replace.");
  text.sample({}, static_cast<double>(set.held_bytes()));
  const auto merge = set.merge_progress();
  text.metric("dmsnap_merge_left_bytes", "gauge", "What is still to be copied into the origin by a merge.");
  text.sample({}, merge ? static_cast<double>(merge->left_bytes) : 0);
}

void add_snapshots(PrometheusText& text, const MountedSet& set) {
  const auto snapshots = set.snapshots();
  const auto each = [&](std::string_view name, std::string_view help,
                        const std::function<double(const MountedSnapshot&)>& value) {
    text.metric(name, "gauge", help);
    for (const auto& snapshot : snapshots) text.sample({{"snapshot", snapshot->record.name}}, value(*snapshot));
  };
  constexpr double sector = sector_bytes;
  each("dmsnap_snapshot_allocated_bytes", "COW chunks handed out, header and metadata included.",
       [&](const MountedSnapshot& s) { return static_cast<double>(s.store->usage().allocated) * sector; });
  each("dmsnap_snapshot_metadata_bytes", "Header and metadata areas in use.",
       [&](const MountedSnapshot& s) { return static_cast<double>(s.store->usage().metadata) * sector; });
  each("dmsnap_snapshot_total_bytes", "Length of the COW file or device.",
       [&](const MountedSnapshot& s) { return static_cast<double>(s.store->usage().total) * sector; });
  each("dmsnap_snapshot_disk_bytes", "What the COW file takes on disk.",
       [](const MountedSnapshot& s) { return static_cast<double>(s.cow->allocated_bytes()); });
  each("dmsnap_snapshot_created_timestamp_seconds", "When it was taken.", [](const MountedSnapshot& s) {
    return std::chrono::duration<double>(s.record.created.time_since_epoch()).count();
  });
  text.metric("dmsnap_snapshot_state", "gauge", "1 for the state that the snapshot has.");
  for (const auto& snapshot : snapshots) {
    text.sample({{"snapshot", snapshot->record.name}, {"state", state_word(set, *snapshot)}}, 1);
  }
  for (const auto& [record, why] : set.unopened()) {
    text.sample({{"snapshot", record.name}, {"state", record.invalid ? "invalid" : "missing"}}, 1);
  }
}

}  // namespace

std::string metrics_report(const MountedSet& set) {
  PrometheusText text;
  add_set(text, set);
  add_operations(text);
  add_waves(text, set.wave_counters());
  add_snapshots(text, set);
  return text.text();
}

}  // namespace dmsnap
