# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by tests: the kernel's switch for FUSE over io_uring, for all mounts that are made while it is on. A mount keeps
# what it has. Who uses it calls restore_io_uring at the end.
io_uring_switch=/sys/module/fuse/parameters/enable_uring
io_uring_before=$(cat "$io_uring_switch" 2> /dev/null || true)
# switch_io_uring Y|N: fails where the kernel has none, or this is not root
switch_io_uring() { [ -n "$io_uring_before" ] && echo "$1" 2> /dev/null > "$io_uring_switch"; }
restore_io_uring() { [ -z "$io_uring_before" ] || [ "$(cat "$io_uring_switch")" = "$io_uring_before" ] || echo "$io_uring_before" > "$io_uring_switch"; }
