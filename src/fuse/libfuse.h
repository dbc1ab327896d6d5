// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

// The only way to libfuse in this project: all files see the same version of its interface.
#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif

#include <fuse_lowlevel.h>
