"""How threads wait for each other, as LLVM text: spin first, then sleep in the kernel.

    await(word, old, sleepers, spins)     until *word is no longer old
    nap(word, old, ns)                    the same, for less than a second
    post(word, new, sleepers)             *word = new, and whoever sleeps on it wakes
    barrier(crew, threads)                until all have come, or none can: a fork lost them
    settle(flags), restore(flags, mode)   floats round to nearest, subnormals as a job asks for

The words that threads write lie on cache lines of their own (`struct Crew` of `native.executor`).
`settle` gives the mode that was, for `restore`; both touch the register only where it differs.
"""

from __future__ import annotations

import os
import sys

_BODY = """
define void @pauses(i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  call void @PAUSE()
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}

; Until *word differs from old: spins, then sleeps with sleepers counting it.
define internal void @await(ptr %word, i32 %old, ptr %sleepers, i32 %spins) noinline {
entry:
  br label %spin
spin:
  %i = phi i32 [ 0, %entry ], [ %next, %again ]
  %now = load atomic i32, ptr %word acquire, align 4
  %changed = icmp ne i32 %now, %old
  br i1 %changed, label %out, label %again
again:
  call void @PAUSE()
  %next = add i32 %i, 1
  %more = icmp ult i32 %next, %spins
  br i1 %more, label %spin, label %bed
bed:
  %was = atomicrmw add ptr %sleepers, i32 1 seq_cst
  br label %look
look:
  %seen = load atomic i32, ptr %word seq_cst, align 4
  %woken = icmp ne i32 %seen, %old
  br i1 %woken, label %up, label %sleep
sleep:
  call void @sleep(ptr %word, i32 %old)
  br label %look
up:
  %one = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %out
out:
  ret void
}

; Changes *word to new and wakes whoever sleeps on it.
define internal void @post(ptr %word, i32 %new, ptr %sleepers) {
  %old = atomicrmw xchg ptr %word, i32 %new seq_cst
  %n = load atomic i32, ptr %sleepers seq_cst, align 4
  %any = icmp ne i32 %n, 0
  br i1 %any, label %wake, label %out
wake:
  call void @wake(ptr %word)
  br label %out
out:
  ret void
}

define internal void @barrier(ptr %crew, i64 %threads) {
  %arrived = getelementptr i8, ptr %crew, i64 64
  %phase = getelementptr i8, ptr %crew, i64 128
  %sleepers = getelementptr i8, ptr %crew, i64 192
  %mine = load atomic i32, ptr %phase acquire, align 4
  %before = atomicrmw add ptr %arrived, i32 1 acq_rel
  %count = add i32 %before, 1
  %all = trunc i64 %threads to i32
  %last = icmp eq i32 %count, %all
  %hired.at = getelementptr i8, ptr %crew, i64 16
  %hired = load i64, ptr %hired.at, align 8
  %present = add i64 %hired, 1
  %lost = icmp ult i64 %present, %threads
  %opens = or i1 %last, %lost
  br i1 %opens, label %open, label %wait
open:
  store atomic i32 0, ptr %arrived monotonic, align 4
  %next = add i32 %mine, 1
  call void @post(ptr %phase, i32 %next, ptr %sleepers)
  ret void
wait:
  %spins.at = getelementptr i8, ptr %crew, i64 260
  %spins = load i32, ptr %spins.at, align 4
  call void @await(ptr %phase, i32 %mine, ptr %sleepers, i32 %spins)
  ret void
}
"""

_FUTEX = """
declare i64 @syscall(i64, ...)
define internal void @sleep(ptr %word, i32 %old) {
  %r = call i64 (i64, ...) @syscall(i64 NUMBER, ptr %word, i32 128, i32 %old, ptr null)
  ret void
}
define internal void @wake(ptr %word) {
  %r = call i64 (i64, ...) @syscall(i64 NUMBER, ptr %word, i32 129, i32 2147483647)
  ret void
}
define internal void @nap(ptr %word, i32 %old, i64 %ns) {
  %time = alloca [2 x i64], align 8
  store i64 0, ptr %time, align 8
  %ns.at = getelementptr i8, ptr %time, i64 8
  store i64 %ns, ptr %ns.at, align 8
  %r = call i64 (i64, ...) @syscall(i64 NUMBER, ptr %word, i32 128, i32 %old, ptr %time)
  ret void
}
"""

_NAP = """
declare i32 @usleep(i32)
define internal void @sleep(ptr %word, i32 %old) {
  %r = call i32 @usleep(i32 500)
  ret void
}
define internal void @wake(ptr %word) {
  ret void
}
define internal void @nap(ptr %word, i32 %old, i64 %ns) {
  call void @sleep(ptr %word, i32 %old)
  ret void
}
"""

_SETTLE = """
define internal i64 @wanted(i64 %flags) {
  %bit = and i64 %flags, 1
  %flush = icmp ne i64 %bit, 0
  %mode = select i1 %flush, i64 FLUSHING, i64 PLAIN
  ret i64 %mode
}
define internal i64 @settle(i64 %flags) {
  %now = call i64 @mode.get()
  %wanted = call i64 @wanted(i64 %flags)
  call void @change(i64 %now, i64 %wanted, i64 %wanted)
  ret i64 %now
}
define internal void @restore(i64 %flags, i64 %mode) {
  %set = call i64 @wanted(i64 %flags)
  call void @change(i64 %mode, i64 %set, i64 %mode)
  ret void
}
; Sets the mode to `to` where two modes differ in more than what arithmetic itself records.
define internal void @change(i64 %one, i64 %other, i64 %to) {
  %differs = xor i64 %one, %other
  %counts = and i64 %differs, CONTROL
  %same = icmp eq i64 %counts, 0
  br i1 %same, label %out, label %set
set:
  call void @mode.set(i64 %to)
  br label %out
out:
  ret void
}
"""

_MODE_X86 = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define internal i64 @mode.get() {
  %at = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %at)
  %now = load i32, ptr %at, align 4
  %wide = zext i32 %now to i64
  ret i64 %wide
}
define internal void @mode.set(i64 %mode) {
  %at = alloca i32, align 4
  %low = trunc i64 %mode to i32
  store i32 %low, ptr %at, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %at)
  ret void
}
"""

_MODE_ARM = """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
define internal i64 @mode.get() {
  %now = call i64 @llvm.aarch64.get.fpcr()
  ret i64 %now
}
define internal void @mode.set(i64 %mode) {
  call void @llvm.aarch64.set.fpcr(i64 %mode)
  ret void
}
"""


# Plain, with subnormals as zero, and the bits that are not a record of what happened.
_MXCSR = 0x1F80, 0x9FC0, 0xFFC0
_FPCR = 0, 1 << 24, -1


def _settling(plain: int, flushing: int, control: int) -> str:
    words = {"PLAIN": plain, "FLUSHING": flushing, "CONTROL": control}
    text = _SETTLE
    for name, value in words.items():
        text = text.replace(name, str(value))
    return text


def text() -> str:
    """The definitions for the system and machine of this process."""
    arm = os.uname().machine.lower() in ("aarch64", "arm64")
    if arm:
        declared, pause = "declare void @llvm.aarch64.hint(i32)", "@llvm.aarch64.hint(i32 1)"
    else:
        declared, pause = "declare void @llvm.x86.sse2.pause()", "@llvm.x86.sse2.pause()"
    sleep = _FUTEX.replace("NUMBER", "98" if arm else "202")
    parts = (
        _BODY.replace("@PAUSE()", pause),
        declared,
        sleep if sys.platform == "linux" else _NAP,
        _settling(*(_FPCR if arm else _MXCSR)),
        _MODE_ARM if arm else _MODE_X86,
    )
    return "\n".join(parts)
