#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# with_io_uring.sh PROGRAM ARGUMENT...: runs a test program over FUSE's io_uring transport; 77, skipped, where the kernel
# has none or this is not root.
. "$(dirname "$0")/io_uring_switch.sh"
trap restore_io_uring EXIT
trap 'exit 130' INT TERM HUP
switch_io_uring Y || { echo "no FUSE over io_uring here, or not root"; exit 77; }
DMSNAP_TEST_TRANSPORT=io_uring "$@"
