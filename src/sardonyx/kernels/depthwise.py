"""Convolutions of one channel each: taps unrolled, channels in lanes, several columns at a time."""

from __future__ import annotations

from sardonyx.kernels.scheduled import Scheduled
from sardonyx.loops.ir import Kernel
from sardonyx.loops.target import Target


def depthwise(kernel: Kernel, target: Target) -> Scheduled | str:
    """Schedules a reduction over taps with channels contiguous; the reason where it is not one."""
    del kernel, target
    return "no kernel is taken by this strategy yet"
