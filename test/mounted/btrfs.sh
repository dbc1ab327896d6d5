#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A snapshot of a loop-mounted btrfs keeps its tree while the origin changes, can be written itself, and both are found again.
exec "$(dirname "$0")/filesystem_life.sh" btrfs
