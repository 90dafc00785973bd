"""The native executor as LLVM text: steps, crews of workers, the launch of a run.

    struct Step { ptr function, ids, symbols; i64 flags }      flags: 1 serial, 2 barrier after
    struct Job  { ptr steps; i64 count; ptr table, scratch; i64 stride, threads, flags;
                  ptr poll; i64 stopped; ptr state; i64 polled, limit, deadline, mode, ended }
    struct Hall { 0: ptr create; i32 spins, most   64: i32 came, over   128: Crew ... }
    struct Crew { 0: ptr job; i64 threads, hired, lent; i32 done, watchers   64: i32 arrived
                  128: i32 phase   192: i32 sleepers   256: i32 busy, spins   320: Worker ... }
    struct Worker { i32 go, asleep; i64 tid; ptr crew }        64 bytes each

Runs share the hall, not a crew: a run takes a free crew and the share of its threads that the
number of runs under way leaves it; where that is one, or no crew is free, it goes on alone. Where
there are more than cores, they take turns (`native.turns`). All
threads of a run walk its steps in lockstep; step functions are those of `engine.emit`. Waiting
spins for a while and then sleeps in the kernel, so a waiter that is not awaited soon costs nothing.
A stopped job still passes every barrier, it only skips the work between; the word before the table
points kernels at `stopped`. A watched job is done by workers alone, while the caller's thread asks
for signals and for its end. Floats round to nearest
whatever the caller's mode is, which is put back.
"""

from __future__ import annotations

import ctypes
import signal
import sys

from sardonyx.engine.native import barrier, call, turns


class Job(ctypes.Structure):
    """`struct Job`; addresses and counts, see the module."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            "steps", "count", "table", "scratch", "stride", "threads", "flags", "poll",
            "stopped", "state", "polled", "limit", "deadline", "mode", "ended",
        )
    ]  # fmt: skip


SERIAL, BARRIER = 1, 2
FLUSH, YIELDING, WATCHED = 1, 2, 4
# Between two questions for signals and for an end: soon for people, and nothing for the run.
POLL_NS = 50_000_000
STOPPED, LATE, LOST = 1, 2, 3
# Runs at once that can have workers, and workers of one, whose records are laid out ahead; servers
# have no more cores to a socket.
CREWS, WORKERS = 32, 255
FAULTS = (signal.SIGBUS, signal.SIGSEGV, signal.SIGFPE, signal.SIGILL)
CREWS_AT, WORKERS_AT, WORKER_BYTES = 128, 320, 64
CREW_BYTES = WORKERS_AT + WORKERS * WORKER_BYTES
HALL_BYTES = CREWS_AT + CREWS * CREW_BYTES
EXPORTS = ("launch", "worker", "pauses", "call")

_BODY = """
@sx_runtime = constant [4 x ptr] [ptr @launch, ptr @worker, ptr @pauses, ptr @call]

%Step = type { ptr, ptr, ptr, i64 }
%Job = type { ptr, i64, ptr, ptr, i64, i64, i64, ptr, i64, ptr, i64, i64, i64, i64, i64 }
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

; Every POLL_NS: signals, and the caller's own question, which stops the job by raising. A job
; whose time is over stops, too.
define internal void @poll(ptr %hall, ptr %job) noinline {
  %polled = getelementptr %Job, ptr %job, i32 0, i32 10
  %last = load i64, ptr %polled, align 8
  %now = call i64 @now()
  %deadline.at = getelementptr %Job, ptr %job, i32 0, i32 12
  %deadline = load i64, ptr %deadline.at, align 8
  %late = icmp ugt i64 %now, %deadline
  br i1 %late, label %over, label %timely
over:
  call void @stop(ptr %job, i64 2)
  br label %out
timely:
  %passed = sub i64 %now, %last
  %due = icmp ugt i64 %passed, POLL_NS
  br i1 %due, label %ask, label %out
ask:
  store i64 %now, ptr %polled, align 8
  %state.at = getelementptr %Job, ptr %job, i32 0, i32 9
  %state = load ptr, ptr %state.at, align 8
  %flags.at = getelementptr %Job, ptr %job, i32 0, i32 6
  %flags = load i64, ptr %flags.at, align 8
  %mode.at = getelementptr %Job, ptr %job, i32 0, i32 13
  %mode = load i64, ptr %mode.at, align 8
  call void @restore(i64 %flags, i64 %mode)
  call void @leave(ptr %hall)
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
  call void @stop(ptr %job, i64 1)
  br label %resume
resume:
  %again = call ptr @PyEval_SaveThread()
  store ptr %again, ptr %state.at, align 8
  call void @rejoin(ptr %hall)
  %ignored = call i64 @settle(i64 %flags)
  br label %out
out:
  ret void
}

define internal void @stop(ptr %job, i64 %why) {
  %stopped = getelementptr %Job, ptr %job, i32 0, i32 8
  store atomic i64 %why, ptr %stopped monotonic, align 8
  ret void
}

define internal void @execute(ptr %hall, ptr %crew, ptr %job, i64 %tid, i64 %threads, i1 %asks) {
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
  call void @poll(ptr %hall, ptr %job)
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
  %seen = phi i32 [ 0, %entry ], [ %now, %loop ], [ %now, %tell ]
  %spins = load i32, ptr %spins.at, align 4
  call void @await(ptr %self, i32 %seen, ptr %asleep, i32 %spins)
  %now = load atomic i32, ptr %self acquire, align 4
  %job = load ptr, ptr %crew, align 8
  %threads.at = getelementptr i8, ptr %crew, i64 8
  %threads = load i64, ptr %threads.at, align 8
  %flags.at = getelementptr %Job, ptr %job, i32 0, i32 6
  %flags = load i64, ptr %flags.at, align 8
  %mode = call i64 @settle(i64 %flags)
  %lent.at = getelementptr i8, ptr %crew, i64 24
  %lent = load i64, ptr %lent.at, align 8
  %place = sub i64 %tid, %lent
  call void @execute(ptr null, ptr %crew, ptr %job, i64 %place, i64 %threads, i1 false)
  %first = icmp eq i64 %place, 0
  br i1 %first, label %tell, label %loop
tell:
  %done.at = getelementptr i8, ptr %crew, i64 32
  %watchers = getelementptr i8, ptr %crew, i64 36
  %before = load i32, ptr %done.at, align 4
  %after = add i32 %before, 1
  call void @post(ptr %done.at, i32 %after, ptr %watchers)
  br label %loop
}

; A free crew with workers for `threads` threads, as many as the system gives; null when all serve.
define internal ptr @claim(ptr %hall, i64 %threads) noinline {
entry:
  br label %look
look:
  %i = phi i64 [ 0, %entry ], [ %next, %taken ]
  %skip = mul i64 %i, CREW_BYTES
  %from = add i64 %skip, CREWS_AT
  %crew = getelementptr i8, ptr %hall, i64 %from
  %busy = getelementptr i8, ptr %crew, i64 256
  %pair = cmpxchg ptr %busy, i32 0, i32 1 acquire monotonic
  %free = extractvalue { i32, i1 } %pair, 1
  br i1 %free, label %mine, label %taken
taken:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, CREWS
  br i1 %more, label %look, label %none
mine:
  %hired.at = getelementptr i8, ptr %crew, i64 16
  %hired = load i64, ptr %hired.at, align 8
  %wanted = sub i64 %threads, 1
  %few = icmp ult i64 %hired, %wanted
  br i1 %few, label %grow, label %ready
grow:
  call void @hire(ptr %hall, ptr %crew, i64 %wanted)
  br label %ready
ready:
  ret ptr %crew
none:
  ret ptr null
}

; Starts workers, with all signals but faults blocked, until the crew has `wanted` or the system
; refuses one.
define internal void @hire(ptr %hall, ptr %crew, i64 %wanted) noinline {
entry:
  %all = alloca [128 x i8], align 8
  %before = alloca [128 x i8], align 8
  %thread = alloca ptr, align 8
  %r1 = call i32 @sigfillset(ptr %all)
  FAULTS
  %r2 = call i32 @pthread_sigmask(i32 SETMASK, ptr %all, ptr %before)
  %create = load ptr, ptr %hall, align 8
  %spins.from = getelementptr i8, ptr %hall, i64 8
  %spins = load i32, ptr %spins.from, align 4
  %spins.at = getelementptr i8, ptr %crew, i64 260
  store i32 %spins, ptr %spins.at, align 4
  %hired.at = getelementptr i8, ptr %crew, i64 16
  %hired = load i64, ptr %hired.at, align 8
  br label %start
start:
  %n = phi i64 [ %hired, %entry ], [ %tid, %started ]
  %enough = icmp uge i64 %n, %wanted
  br i1 %enough, label %done, label %one
one:
  %tid = add i64 %n, 1
  %skip = mul i64 %n, 64
  %from = add i64 %skip, WORKERS_AT
  %worker = getelementptr i8, ptr %crew, i64 %from
  %tid.at = getelementptr i8, ptr %worker, i64 8
  store i64 %tid, ptr %tid.at, align 8
  %crew.at = getelementptr i8, ptr %worker, i64 16
  store ptr %crew, ptr %crew.at, align 8
  %refused = call i32 %create(ptr %thread, ptr null, ptr @worker, ptr %worker)
  %bad = icmp ne i32 %refused, 0
  br i1 %bad, label %done, label %started
started:
  %handle = load ptr, ptr %thread, align 8
  NAME
  %r3 = call i32 @pthread_detach(ptr %handle)
  store atomic i64 %tid, ptr %hired.at release, align 8
  br label %start
done:
  %r4 = call i32 @pthread_sigmask(i32 SETMASK, ptr %before, ptr null)
  ret void
}

; Has workers 1 to `threads` of a crew take up its job.
define internal void @rouse(ptr %crew, ptr %job, i64 %threads, i64 %last) {
entry:
  store ptr %job, ptr %crew, align 8
  %threads.at = getelementptr i8, ptr %crew, i64 8
  store i64 %threads, ptr %threads.at, align 8
  br label %call
call:
  %t = phi i64 [ 1, %entry ], [ %t.next, %post ]
  %more = icmp ule i64 %t, %last
  br i1 %more, label %post, label %out
post:
  %place = mul i64 %t, 64
  %from = add i64 %place, 256
  %worker = getelementptr i8, ptr %crew, i64 %from
  %asleep = getelementptr i8, ptr %worker, i64 4
  %old = load i32, ptr %worker, align 4
  %new = add i32 %old, 1
  call void @post(ptr %worker, i32 %new, ptr %asleep)
  %t.next = add i64 %t, 1
  br label %call
out:
  ret void
}

; Has workers do a job on up to `wanted` threads, and asks meanwhile; alone where there are none.
define internal void @watch(ptr %hall, ptr %crew, ptr %job, i64 %wanted) noinline {
entry:
  %hired.at = getelementptr i8, ptr %crew, i64 16
  %hired = load i64, ptr %hired.at, align 8
  %threads = call i64 @llvm.umin.i64(i64 %wanted, i64 %hired)
  %any = icmp ne i64 %threads, 0
  br i1 %any, label %lend, label %alone
alone:
  call void @execute(ptr %hall, ptr null, ptr %job, i64 0, i64 1, i1 true)
  ret void
lend:
  %lent.at = getelementptr i8, ptr %crew, i64 24
  store i64 1, ptr %lent.at, align 8
  %done.at = getelementptr i8, ptr %crew, i64 32
  %old = load i32, ptr %done.at, align 4
  %watchers = getelementptr i8, ptr %crew, i64 36
  store atomic i32 1, ptr %watchers seq_cst, align 4
  call void @rouse(ptr %crew, ptr %job, i64 %threads, i64 %threads)
  br label %wait
wait:
  call void @nap(ptr %done.at, i32 %old, i64 POLL_NS)
  %now = load atomic i32, ptr %done.at seq_cst, align 4
  %done = icmp ne i32 %now, %old
  br i1 %done, label %back, label %ask
ask:
  %stopped.at = getelementptr %Job, ptr %job, i32 0, i32 8
  %stopped = load atomic i64, ptr %stopped.at monotonic, align 8
  %runs = icmp eq i64 %stopped, 0
  br i1 %runs, label %question, label %look
question:
  call void @poll(ptr %hall, ptr %job)
  br label %look
look:
  %left = load i64, ptr %hired.at, align 8
  %lost = icmp ult i64 %left, %threads
  br i1 %lost, label %cut, label %wait
cut:
  call void @stop(ptr %job, i64 3)
  br label %back
back:
  store i64 0, ptr %lent.at, align 8
  ret void
}

; Runs a job on its share of threads; 0 when it ran to its end, and why not also in `ended`. A fork
; in the midst of it (a signal handler's) leaves the child without the workers' part. Holds the GIL
; on entry and exit; gives it up meanwhile when the job's flags say so.
define i64 @launch(ptr %hall, ptr %job) {
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
  %limit.at = getelementptr %Job, ptr %job, i32 0, i32 11
  %limit = load i64, ptr %limit.at, align 8
  %until = call i64 @llvm.uadd.sat.i64(i64 %start, i64 %limit)
  %deadline.at = getelementptr %Job, ptr %job, i32 0, i32 12
  store i64 %until, ptr %deadline.at, align 8
  br label %ready
ready:
  %stopped.at = getelementptr %Job, ptr %job, i32 0, i32 8
  %table.at = getelementptr %Job, ptr %job, i32 0, i32 2
  %table = load ptr, ptr %table.at, align 8
  %halt.at = getelementptr ptr, ptr %table, i64 -1
  store ptr %stopped.at, ptr %halt.at, align 8
  %mode = call i64 @settle(i64 %flags)
  %mode.at = getelementptr %Job, ptr %job, i32 0, i32 13
  store i64 %mode, ptr %mode.at, align 8
  %wanted.at = getelementptr %Job, ptr %job, i32 0, i32 5
  %wanted = load i64, ptr %wanted.at, align 8
  %many = icmp ugt i64 %wanted, 1
  %counts = or i1 %many, %yields
  br i1 %counts, label %share, label %alone
share:
  %number = call i32 @join(ptr %hall)
  br i1 %yields, label %queue, label %own
queue:
  call void @turn(ptr %hall, ptr %job, i32 %number)
  br label %own
own:
  %runs = call i64 @under_way(ptr %hall)
  %part = udiv i64 %wanted, %runs
  %long.bit = and i64 %flags, 4
  %long = icmp ne i64 %long.bit, 0
  br i1 %long, label %lengthy, label %brief
lengthy:
  %team = call i64 @llvm.umax.i64(i64 %part, i64 1)
  %and.caller = add i64 %team, 1
  %lent = call ptr @claim(ptr %hall, i64 %and.caller)
  %none.lent = icmp eq ptr %lent, null
  br i1 %none.lent, label %single, label %watched
watched:
  call void @watch(ptr %hall, ptr %lent, ptr %job, i64 %team)
  %lent.busy = getelementptr i8, ptr %lent, i64 256
  store atomic i32 0, ptr %lent.busy release, align 4
  br label %leave
brief:
  %pair = icmp ugt i64 %part, 1
  br i1 %pair, label %claim, label %single
claim:
  %crew = call ptr @claim(ptr %hall, i64 %part)
  %none = icmp eq ptr %crew, null
  br i1 %none, label %single, label %together
alone:
  call void @execute(ptr %hall, ptr null, ptr %job, i64 0, i64 1, i1 false)
  br label %done
single:
  call void @execute(ptr %hall, ptr null, ptr %job, i64 0, i64 1, i1 %yields)
  br label %leave
together:
  %hired.at = getelementptr i8, ptr %crew, i64 16
  %hired = load i64, ptr %hired.at, align 8
  %present = add i64 %hired, 1
  %threads = call i64 @llvm.umin.i64(i64 %part, i64 %present)
  %helpers = sub i64 %threads, 1
  call void @rouse(ptr %crew, ptr %job, i64 %threads, i64 %helpers)
  call void @execute(ptr %hall, ptr %crew, ptr %job, i64 0, i64 %threads, i1 %yields)
  %left = load i64, ptr %hired.at, align 8
  %last = add i64 %left, 1
  %lost = icmp ult i64 %last, %threads
  br i1 %lost, label %cut, label %free
cut:
  call void @stop(ptr %job, i64 3)
  br label %free
free:
  %busy = getelementptr i8, ptr %crew, i64 256
  store atomic i32 0, ptr %busy release, align 4
  br label %leave
leave:
  call void @leave(ptr %hall)
  br label %done
done:
  call void @restore(i64 %flags, i64 %mode)
  br i1 %yields, label %resume, label %out
resume:
  %back = load ptr, ptr %state.at, align 8
  call void @PyEval_RestoreThread(ptr %back)
  br label %out
out:
  %stopped = atomicrmw xchg ptr %stopped.at, i64 0 monotonic
  %ended.at = getelementptr %Job, ptr %job, i32 0, i32 14
  store i64 %stopped, ptr %ended.at, align 8
  ret i64 %stopped
}
declare i32 @sigfillset(ptr)
declare i32 @sigdelset(ptr, i32)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @pthread_detach(ptr)
declare i32 @llvm.smax.i32(i32, i32)
declare i64 @llvm.uadd.sat.i64(i64, i64)
declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)
"""

_NAMING = """
@name = internal constant [9 x i8] c"sardonyx\\00"
declare i32 @pthread_setname_np(ptr, ptr)
"""


def text() -> str:
    """The executor as one LLVM module exporting `@sx_runtime`, the table of `EXPORTS`."""
    mac, linux = sys.platform == "darwin", sys.platform == "linux"
    words = {
        "POLL_NS": POLL_NS,
        "MONOTONIC": 6 if mac else 1,
        "SETMASK": 3 if mac else 2,
        "CREW_BYTES": CREW_BYTES,
        "CREWS_AT": CREWS_AT,
        "WORKERS_AT": WORKERS_AT,
        "CREWS": CREWS,
        "FAULTS": "\n  ".join(
            f"%f{n} = call i32 @sigdelset(ptr %all, i32 {n})" for n in map(int, FAULTS)
        ),
        "NAME": "%r5 = call i32 @pthread_setname_np(ptr %handle, ptr @name)" if linux else "",
    }
    body = _BODY + turns.text()
    for word, value in words.items():
        body = body.replace(word, str(value))
    return f"{body}\n{_NAMING if linux else ''}\n{barrier.text()}\n{call.TEXT}"


def exports(address: int) -> dict[str, int]:
    """The addresses of `EXPORTS` in the loaded table."""
    table = (ctypes.c_uint64 * len(EXPORTS)).from_address(address)
    return dict(zip(EXPORTS, table, strict=True))
