"""How runs take turns where there are more of them than cores, as LLVM text.

    join(hall) -> number             counts a run
    turn(hall, job, number)          until few enough runs that came before it are not over
    leave(hall)                      the run is over, or asks Python and uses no core
    rejoin(hall)                     it goes on
    under_way(hall) -> runs          at least 1

More runs at once than cores would only take each other's caches and let the scheduler choose whose
call is slow. Runs that give up the GIL go in the order in which they came; others have it, so they
cannot wait. A run that asks Python counts as over meanwhile: a handler may run a session there, and
must not wait for the run that it interrupts.
"""

from __future__ import annotations

import os
import sys

_BODY = """
define internal i32 @join(ptr %hall) {
  %came = getelementptr i8, ptr %hall, i64 64
  %mine = atomicrmw add ptr %came, i32 1 seq_cst
  ret i32 %mine
}
define internal i64 @under_way(ptr %hall) {
  %came.at = getelementptr i8, ptr %hall, i64 64
  %came = load atomic i32, ptr %came.at monotonic, align 4
  %over.at = getelementptr i8, ptr %hall, i64 68
  %over = load atomic i32, ptr %over.at monotonic, align 4
  %runs = sub i32 %came, %over
  %some = call i32 @llvm.smax.i32(i32 %runs, i32 1)
  %wide = zext i32 %some to i64
  ret i64 %wide
}
define internal void @turn(ptr %hall, ptr %job, i32 %mine) {
entry:
  %most.at = getelementptr i8, ptr %hall, i64 12
  %most = load i32, ptr %most.at, align 4
  %over.at = getelementptr i8, ptr %hall, i64 68
  %place = and i32 %mine, 31
  %bit = shl i32 1, %place
  br label %look
look:
  %over = load atomic i32, ptr %over.at seq_cst, align 4
  %before = sub i32 %mine, %over
  %free = icmp slt i32 %before, %most
  br i1 %free, label %out, label %wait
wait:
  call void @doze(ptr %over.at, i32 %over, i32 %bit)
  call void @poll(ptr %hall, ptr %job)
  %stopped.at = getelementptr %Job, ptr %job, i32 0, i32 8
  %stopped = load atomic i64, ptr %stopped.at monotonic, align 8
  %goes = icmp eq i64 %stopped, 0
  br i1 %goes, label %look, label %out
out:
  ret void
}
define internal void @leave(ptr %hall) {
entry:
  %came.at = getelementptr i8, ptr %hall, i64 64
  %over.at = getelementptr i8, ptr %hall, i64 68
  %most.at = getelementptr i8, ptr %hall, i64 12
  %most = load i32, ptr %most.at, align 4
  %over = atomicrmw add ptr %over.at, i32 1 seq_cst
  %next = add i32 %over, %most
  %came = load atomic i32, ptr %came.at seq_cst, align 4
  %waiting = sub i32 %came, %next
  %any = icmp sgt i32 %waiting, 0
  br i1 %any, label %rouse, label %out
rouse:
  %place = and i32 %next, 31
  %bit = shl i32 1, %place
  call void @beckon(ptr %over.at, i32 %bit)
  br label %out
out:
  ret void
}
define internal void @rejoin(ptr %hall) {
  %over.at = getelementptr i8, ptr %hall, i64 68
  %over = atomicrmw sub ptr %over.at, i32 1 seq_cst
  ret void
}
"""

# A sleeper of a bit wakes when that bit is called, or after POLL_NS.
_FUTEX = """
define internal void @doze(ptr %word, i32 %old, i32 %bit) {
  %time = alloca [2 x i64], align 8
  %now = call i64 @now()
  %until = add i64 %now, POLL_NS
  %s = udiv i64 %until, 1000000000
  %ns = urem i64 %until, 1000000000
  store i64 %s, ptr %time, align 8
  %ns.at = getelementptr i8, ptr %time, i64 8
  store i64 %ns, ptr %ns.at, align 8
  %r = call i64 (i64, ...) @syscall(
    i64 NUMBER, ptr %word, i32 137, i32 %old, ptr %time, ptr null, i32 %bit)
  ret void
}
define internal void @beckon(ptr %word, i32 %bit) {
  %r = call i64 (i64, ...) @syscall(
    i64 NUMBER, ptr %word, i32 138, i32 2147483647, ptr null, ptr null, i32 %bit)
  ret void
}
"""

_NAP = """
define internal void @doze(ptr %word, i32 %old, i32 %bit) {
  call void @sleep(ptr %word, i32 %old)
  ret void
}
define internal void @beckon(ptr %word, i32 %bit) {
  ret void
}
"""


def text() -> str:
    """The definitions for the system and machine of this process."""
    arm = os.uname().machine.lower() in ("aarch64", "arm64")
    sleep = _FUTEX.replace("NUMBER", "98" if arm else "202") if sys.platform == "linux" else _NAP
    return _BODY + sleep
