// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>

namespace dmsnap {

/// Runs `work` on this thread and at once on one more for each further core, as far as threads can be had; returns when
/// all have. It shares out among them itself what there is to do. Throws what `work` throws.
void on_all_cores(const std::function<void()>& work);

}  // namespace dmsnap
