"""The native executor as LLVM text: steps, barriers, workers, and the call from Python.

    struct Step { ptr function, ids, symbols; i64 flags }      flags: 1 serial, 2 barrier after
    struct Job  { ptr steps; i64 count; ptr table, scratch; i64 stride, threads, flags;
                  ptr poll; i64 stopped; ptr state; i64 polled }
    struct Crew { 0: ptr job; i64 threads, alive   64: i32 arrived   128: i32 phase
                  192: i32 sleepers   256: i32 busy   260: i32 spins   320..: Worker }
    struct Worker { i32 go, asleep; i64 tid; ptr crew }        64 bytes each

All threads walk the steps in lockstep; step functions are those of `engine.llvm`. Waiting spins
for a while and then sleeps in the kernel, so a waiter that is not awaited soon costs nothing. A
stopped job still passes every barrier, it only skips the work between. `call` is a function for
CPython: it compares the arrays it is given with what a plan is bound to, points the table at them
and launches, without a step through the interpreter.

    struct Plan { ptr crew, job; i64 count; ptr array_type, none, refusal, stopped; Argument ... }
    struct Argument { ptr descr; i64 ndim; ptr dims; i64 slot, flags }
"""

from __future__ import annotations

import ctypes
import sys

from sardonyx.engine.native import barrier


class Job(ctypes.Structure):
    """`struct Job`; addresses and counts, see the module."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            "steps", "count", "table", "scratch", "stride", "threads", "flags", "poll",
            "stopped", "state", "polled",
        )
    ]  # fmt: skip


SERIAL, BARRIER = 1, 2
FLUSH, YIELDING = 1, 2
# Between two questions for signals and for an end: soon for people, and nothing for the run.
POLL_NS = 50_000_000
WORKERS_AT, WORKER_BYTES = 320, 64
EXPORTS = ("launch", "worker", "pauses", "call")

_BODY = """
@sx_runtime = constant [4 x ptr] [ptr @launch, ptr @worker, ptr @pauses, ptr @call]

%Step = type { ptr, ptr, ptr, i64 }
%Job = type { ptr, i64, ptr, ptr, i64, i64, i64, ptr, i64, ptr, i64 }
%Time = type { i64, i64 }

declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare i32 @PyErr_CheckSignals()
declare ptr @PyObject_CallNoArgs(ptr)
declare void @Py_DecRef(ptr)
declare i32 @clock_gettime(i32, ptr)

define internal i64 @now() {
  %time = alloca %Time, align 8
  %ok = call i32 @clock_gettime(i32 MONOTONIC, ptr %time)
  %s = load i64, ptr %time, align 8
  %ns.at = getelementptr i8, ptr %time, i64 8
  %ns = load i64, ptr %ns.at, align 8
  %whole = mul i64 %s, 1000000000
  %sum = add i64 %whole, %ns
  ret i64 %sum
}

; Every POLL_NS: signals, and the caller's own question, which stops the job by raising.
define internal void @poll(ptr %job) noinline {
  %polled = getelementptr %Job, ptr %job, i32 0, i32 10
  %last = load i64, ptr %polled, align 8
  %now = call i64 @now()
  %passed = sub i64 %now, %last
  %due = icmp ugt i64 %passed, POLL_NS
  br i1 %due, label %ask, label %out
ask:
  store i64 %now, ptr %polled, align 8
  %state.at = getelementptr %Job, ptr %job, i32 0, i32 9
  %state = load ptr, ptr %state.at, align 8
  call void @PyEval_RestoreThread(ptr %state)
  %signal = call i32 @PyErr_CheckSignals()
  %raised = icmp slt i32 %signal, 0
  br i1 %raised, label %stop, label %own
own:
  %poll.at = getelementptr %Job, ptr %job, i32 0, i32 7
  %question = load ptr, ptr %poll.at, align 8
  %none = icmp eq ptr %question, null
  br i1 %none, label %resume, label %call
call:
  %answer = call ptr @PyObject_CallNoArgs(ptr %question)
  %failed = icmp eq ptr %answer, null
  br i1 %failed, label %stop, label %drop
drop:
  call void @Py_DecRef(ptr %answer)
  br label %resume
stop:
  %stopped = getelementptr %Job, ptr %job, i32 0, i32 8
  store atomic i64 1, ptr %stopped monotonic, align 8
  br label %resume
resume:
  %again = call ptr @PyEval_SaveThread()
  store ptr %again, ptr %state.at, align 8
  br label %out
out:
  ret void
}

define internal void @execute(ptr %crew, ptr %job, i64 %tid, i64 %threads) {
entry:
  %steps = load ptr, ptr %job, align 8
  %count.at = getelementptr %Job, ptr %job, i32 0, i32 1
  %count = load i64, ptr %count.at, align 8
  %table.at = getelementptr %Job, ptr %job, i32 0, i32 2
  %table = load ptr, ptr %table.at, align 8
  %scratch.at = getelementptr %Job, ptr %job, i32 0, i32 3
  %all = load ptr, ptr %scratch.at, align 8
  %stride.at = getelementptr %Job, ptr %job, i32 0, i32 4
  %stride = load i64, ptr %stride.at, align 8
  %offset = mul i64 %stride, %tid
  %scratch = getelementptr i8, ptr %all, i64 %offset
  %flags.at = getelementptr %Job, ptr %job, i32 0, i32 6
  %flags = load i64, ptr %flags.at, align 8
  %yielding = and i64 %flags, 2
  %asks = icmp ne i64 %yielding, 0
  %first = icmp eq i64 %tid, 0
  %polls = and i1 %asks, %first
  %many = icmp ugt i64 %threads, 1
  %stopped.at = getelementptr %Job, ptr %job, i32 0, i32 8
  %empty = icmp eq i64 %count, 0
  br i1 %empty, label %end, label %step
step:
  %i = phi i64 [ 0, %entry ], [ %next, %onward ]
  %at = getelementptr %Step, ptr %steps, i64 %i
  %kind.at = getelementptr %Step, ptr %at, i32 0, i32 3
  %kind = load i64, ptr %kind.at, align 8
  %serial.bit = and i64 %kind, 1
  %serial = icmp ne i64 %serial.bit, 0
  %stopped = load atomic i64, ptr %stopped.at monotonic, align 8
  %runs = icmp eq i64 %stopped, 0
  %parallel = xor i1 %serial, true
  %mine = or i1 %parallel, %first
  %go = and i1 %runs, %mine
  br i1 %go, label %work, label %after
work:
  %function = load ptr, ptr %at, align 8
  %ids.at = getelementptr %Step, ptr %at, i32 0, i32 1
  %ids = load ptr, ptr %ids.at, align 8
  %symbols.at = getelementptr %Step, ptr %at, i32 0, i32 2
  %symbols = load ptr, ptr %symbols.at, align 8
  %share = select i1 %serial, i64 1, i64 %threads
  call void %function(ptr %table, ptr %ids, ptr %symbols, ptr %scratch, i64 %tid, i64 %share)
  br i1 %polls, label %question, label %after
question:
  call void @poll(ptr %job)
  br label %after
after:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %between, label %end
between:
  %barrier.bit = and i64 %kind, 2
  %flagged = icmp ne i64 %barrier.bit, 0
  %meets = and i1 %flagged, %many
  br i1 %meets, label %peek, label %onward
peek:
  %next.at = getelementptr %Step, ptr %steps, i64 %next
  %next.kind.at = getelementptr %Step, ptr %next.at, i32 0, i32 3
  %next.kind = load i64, ptr %next.kind.at, align 8
  %both = and i64 %next.kind, %serial.bit
  %alone = icmp ne i64 %both, 0
  br i1 %alone, label %onward, label %meet
meet:
  call void @barrier(ptr %crew, i64 %threads)
  br label %onward
onward:
  br label %step
end:
  br i1 %many, label %last, label %out
last:
  call void @barrier(ptr %crew, i64 %threads)
  br label %out
out:
  ret void
}

; What a worker thread runs for ever.
define ptr @worker(ptr %self) {
entry:
  %asleep = getelementptr i8, ptr %self, i64 4
  %tid.at = getelementptr i8, ptr %self, i64 8
  %tid = load i64, ptr %tid.at, align 8
  %crew.at = getelementptr i8, ptr %self, i64 16
  %crew = load ptr, ptr %crew.at, align 8
  %spins.at = getelementptr i8, ptr %crew, i64 260
  br label %loop
loop:
  %seen = phi i32 [ 0, %entry ], [ %now, %loop ]
  %spins = load i32, ptr %spins.at, align 4
  call void @await(ptr %self, i32 %seen, ptr %asleep, i32 %spins)
  %now = load atomic i32, ptr %self acquire, align 4
  %job = load ptr, ptr %crew, align 8
  %threads.at = getelementptr i8, ptr %crew, i64 8
  %threads = load i64, ptr %threads.at, align 8
  %flags.at = getelementptr %Job, ptr %job, i32 0, i32 6
  %flags = load i64, ptr %flags.at, align 8
  %mode = call i64 @flush(i64 %flags)
  call void @execute(ptr %crew, ptr %job, i64 %tid, i64 %threads)
  call void @restore(i64 %flags, i64 %mode)
  br label %loop
}

; Runs a job on as many threads as it asks for, on one where the crew is busy; 1 when stopped.
; Holds the GIL on entry and exit; gives it up meanwhile when the job's flags say so.
define i64 @launch(ptr %crew, ptr %job) {
entry:
  %state.at = getelementptr %Job, ptr %job, i32 0, i32 9
  %flags.at = getelementptr %Job, ptr %job, i32 0, i32 6
  %flags = load i64, ptr %flags.at, align 8
  %yielding = and i64 %flags, 2
  %yields = icmp ne i64 %yielding, 0
  br i1 %yields, label %yield, label %ready
yield:
  %state = call ptr @PyEval_SaveThread()
  store ptr %state, ptr %state.at, align 8
  %polled.at = getelementptr %Job, ptr %job, i32 0, i32 10
  %start = call i64 @now()
  store i64 %start, ptr %polled.at, align 8
  br label %ready
ready:
  %mode = call i64 @flush(i64 %flags)
  %wanted.at = getelementptr %Job, ptr %job, i32 0, i32 5
  %wanted = load i64, ptr %wanted.at, align 8
  %alive.at = getelementptr i8, ptr %crew, i64 16
  %alive = load i64, ptr %alive.at, align 8
  %threads = call i64 @llvm.umin.i64(i64 %wanted, i64 %alive)
  %busy.at = getelementptr i8, ptr %crew, i64 256
  %many = icmp ugt i64 %threads, 1
  br i1 %many, label %claim, label %alone
claim:
  %pair = cmpxchg ptr %busy.at, i32 0, i32 1 acquire monotonic
  %free = extractvalue { i32, i1 } %pair, 1
  br i1 %free, label %together, label %alone
alone:
  call void @execute(ptr %crew, ptr %job, i64 0, i64 1)
  br label %done
together:
  store ptr %job, ptr %crew, align 8
  %threads.at = getelementptr i8, ptr %crew, i64 8
  store i64 %threads, ptr %threads.at, align 8
  br label %call
call:
  %t = phi i64 [ 1, %together ], [ %t.next, %call ]
  %place = mul i64 %t, 64
  %from = add i64 %place, 256
  %worker = getelementptr i8, ptr %crew, i64 %from
  %asleep = getelementptr i8, ptr %worker, i64 4
  %old = load i32, ptr %worker, align 4
  %new = add i32 %old, 1
  call void @post(ptr %worker, i32 %new, ptr %asleep)
  %t.next = add i64 %t, 1
  %more = icmp ult i64 %t.next, %threads
  br i1 %more, label %call, label %join
join:
  call void @execute(ptr %crew, ptr %job, i64 0, i64 %threads)
  store atomic i32 0, ptr %busy.at release, align 4
  br label %done
done:
  call void @restore(i64 %flags, i64 %mode)
  br i1 %yields, label %resume, label %out
resume:
  %back = load ptr, ptr %state.at, align 8
  call void @PyEval_RestoreThread(ptr %back)
  br label %out
out:
  %stopped.at = getelementptr %Job, ptr %job, i32 0, i32 8
  %stopped = atomicrmw xchg ptr %stopped.at, i64 0 monotonic
  ret i64 %stopped
}
declare i64 @llvm.umin.i64(i64, i64)
"""

_CALL = """
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare ptr @PyErr_Occurred()
declare void @Py_IncRef(ptr)
declare i32 @memcmp(ptr, ptr, i64)

; None when it ran, `refusal` when an argument is not what the plan is bound to, `stopped` or an
; exception when the run was ended.
define ptr @call(ptr %self, ptr %args, i64 %given) {
entry:
  %plan = call ptr @PyCapsule_GetPointer(ptr %self, ptr null)
  %crew = load ptr, ptr %plan, align 8
  %job.at = getelementptr i8, ptr %plan, i64 8
  %job = load ptr, ptr %job.at, align 8
  %count.at = getelementptr i8, ptr %plan, i64 16
  %count = load i64, ptr %count.at, align 8
  %type.at = getelementptr i8, ptr %plan, i64 24
  %type = load ptr, ptr %type.at, align 8
  %table.at = getelementptr %Job, ptr %job, i32 0, i32 2
  %table = load ptr, ptr %table.at, align 8
  %threads.at = getelementptr %Job, ptr %job, i32 0, i32 5
  %threads = load i64, ptr %threads.at, align 8
  %alive.at = getelementptr i8, ptr %crew, i64 16
  %alive = load i64, ptr %alive.at, align 8
  %enough = icmp uge i64 %alive, %threads
  %fits = icmp eq i64 %given, %count
  %proceed = and i1 %enough, %fits
  br i1 %proceed, label %argument, label %refuse
argument:
  %i = phi i64 [ 0, %entry ], [ %next, %point ]
  %left = icmp ult i64 %i, %count
  br i1 %left, label %kind, label %go
kind:
  %array.at = getelementptr ptr, ptr %args, i64 %i
  %array = load ptr, ptr %array.at, align 8
  %its.type.at = getelementptr i8, ptr %array, i64 8
  %its.type = load ptr, ptr %its.type.at, align 8
  %is.array = icmp eq ptr %its.type, %type
  br i1 %is.array, label %look, label %refuse
look:
  %offset = mul i64 %i, 40
  %from = add i64 %offset, 56
  %spec = getelementptr i8, ptr %plan, i64 %from
  %descr.wanted = load ptr, ptr %spec, align 8
  %descr.at = getelementptr i8, ptr %array, i64 56
  %descr = load ptr, ptr %descr.at, align 8
  %same.descr = icmp eq ptr %descr, %descr.wanted
  %ndim.wanted.at = getelementptr i8, ptr %spec, i64 8
  %ndim.wanted = load i64, ptr %ndim.wanted.at, align 8
  %ndim.at = getelementptr i8, ptr %array, i64 24
  %ndim.narrow = load i32, ptr %ndim.at, align 4
  %ndim = sext i32 %ndim.narrow to i64
  %same.ndim = icmp eq i64 %ndim, %ndim.wanted
  %flags.wanted.at = getelementptr i8, ptr %spec, i64 32
  %flags.wanted.wide = load i64, ptr %flags.wanted.at, align 8
  %flags.wanted = trunc i64 %flags.wanted.wide to i32
  %flags.at = getelementptr i8, ptr %array, i64 64
  %flags = load i32, ptr %flags.at, align 4
  %flags.had = and i32 %flags, %flags.wanted
  %same.flags = icmp eq i32 %flags.had, %flags.wanted
  %same.two = and i1 %same.descr, %same.ndim
  %same.three = and i1 %same.two, %same.flags
  br i1 %same.three, label %measure, label %refuse
measure:
  %dims.wanted.at = getelementptr i8, ptr %spec, i64 16
  %dims.wanted = load ptr, ptr %dims.wanted.at, align 8
  %dims.at = getelementptr i8, ptr %array, i64 32
  %dims = load ptr, ptr %dims.at, align 8
  %bytes = shl i64 %ndim, 3
  %differ = call i32 @memcmp(ptr %dims, ptr %dims.wanted, i64 %bytes)
  %same.dims = icmp eq i32 %differ, 0
  br i1 %same.dims, label %point, label %refuse
point:
  %slot.at = getelementptr i8, ptr %spec, i64 24
  %slot = load i64, ptr %slot.at, align 8
  %data.at = getelementptr i8, ptr %array, i64 16
  %data = load ptr, ptr %data.at, align 8
  %entry.at = getelementptr ptr, ptr %table, i64 %slot
  store ptr %data, ptr %entry.at, align 8
  %next = add i64 %i, 1
  br label %argument
go:
  %stopped = call i64 @launch(ptr %crew, ptr %job)
  %whole = icmp eq i64 %stopped, 0
  br i1 %whole, label %answer, label %ended
ended:
  %raised = call ptr @PyErr_Occurred()
  %quiet = icmp eq ptr %raised, null
  br i1 %quiet, label %answer, label %raise
raise:
  ret ptr null
refuse:
  br label %answer
answer:
  %word = phi i64 [ 32, %go ], [ 40, %refuse ], [ 48, %ended ]
  %result.at = getelementptr i8, ptr %plan, i64 %word
  %result = load ptr, ptr %result.at, align 8
  call void @Py_IncRef(ptr %result)
  ret ptr %result
}
"""


def text() -> str:
    """The executor as one LLVM module exporting `@sx_runtime`, the table of `EXPORTS`."""
    monotonic = "6" if sys.platform == "darwin" else "1"
    body = _BODY.replace("POLL_NS", str(POLL_NS)).replace("MONOTONIC", monotonic)
    return f"{body}\n{barrier.text()}\n{_CALL}"


def exports(address: int) -> dict[str, int]:
    """The addresses of `EXPORTS` in the loaded table."""
    table = (ctypes.c_uint64 * len(EXPORTS)).from_address(address)
    return dict(zip(EXPORTS, table, strict=True))
