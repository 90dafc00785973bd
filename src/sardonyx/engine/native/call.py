"""The way from Python into the executor as LLVM text: a function that CPython calls as a method.

    struct Plan { ptr hall, job; i64 count; ptr array_type, none, refusal, stopped; Argument ... }
    struct Argument { ptr descr; i64 ndim; ptr dims; i64 slot, flags }

`call` compares the arrays it is given with what a plan is bound to, points the table at them and
launches, without a step through the interpreter.
"""

TEXT = """
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare ptr @PyErr_Occurred()
declare void @Py_IncRef(ptr)
declare i32 @memcmp(ptr, ptr, i64)

; None when it ran, `refusal` when an argument is not what the plan is bound to, `stopped` or an
; exception when the run was ended.
define ptr @call(ptr %self, ptr %args, i64 %given) {
entry:
  %plan = call ptr @PyCapsule_GetPointer(ptr %self, ptr null)
  %hall = load ptr, ptr %plan, align 8
  %job.at = getelementptr i8, ptr %plan, i64 8
  %job = load ptr, ptr %job.at, align 8
  %count.at = getelementptr i8, ptr %plan, i64 16
  %count = load i64, ptr %count.at, align 8
  %type.at = getelementptr i8, ptr %plan, i64 24
  %type = load ptr, ptr %type.at, align 8
  %table.at = getelementptr %Job, ptr %job, i32 0, i32 2
  %table = load ptr, ptr %table.at, align 8
  %fits = icmp eq i64 %given, %count
  br i1 %fits, label %argument, label %refuse
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
  %stopped = call i64 @launch(ptr %hall, ptr %job)
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
