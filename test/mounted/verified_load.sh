# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by tests that write while a snapshot has to stay what it was: d/snapshots/third, whose content is in frozen.img.

# Direct reads ask the daemon each time: also for writes that are still held, and for what the page cache would know.
third_is_frozen() { dd if=d/snapshots/third iflag=direct bs=1M status=none | cmp - frozen.img; }
# verified_load JOBS: jobs.fio is these jobs of fio, with writes of 4 KiB to 1 MiB that are read back and compared; runs them
# while third is compared over and over.
verified_load() {
  printf '%s\n' '[global]' bsrange=4k-1m verify=crc32c verify_fatal=1 verify_backlog=256 direct=1 allow_file_create=0 "$1" > jobs.fio
  touch comparing
  (while [ -e comparing ]; do third_is_frozen || exit 1; done) &
  local reader=$!
  fio jobs.fio > fio.txt 2>&1 || fail "$(grep -m3 -E 'verify|error' fio.txt)"
  rm comparing
  wait $reader || fail "the third snapshot changed while the others were written"
}
