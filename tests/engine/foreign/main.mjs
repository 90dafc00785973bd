// Runs one kernel, the module named on the command line: reads a job from standard input (see
// main.c), writes every buffer to standard output.

import { readFileSync, writeSync } from "node:fs";

const LINE = 64;
const PAGE = 65536;
const job = readFileSync(0);
let place = 0;
const number = () => Number(job.readBigInt64LE((place += 8) - 8));

const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), {});
const { memory, kernel, __heap_base: heap } = instance.exports;
let end = heap.value;
const room = (bytes) => {
  const at = Math.ceil(end / LINE) * LINE;
  end = at + bytes;
  const missing = end - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
  return at;
};

const [buffers, symbols, scratch, threads] = [number(), number(), number(), number()];
const sizes = Array.from({ length: buffers }, number);
const values = Array.from({ length: symbols }, number);
const halt = room(8); // a word that would end a kernel early; its address stands before the table
const table = room(4 * (buffers + 2)) + 4;
const ids = room(4 * (buffers + 1));
const bound = room(8 * (symbols + 1));
const places = sizes.map(room);
const spare = room(scratch);

const view = new DataView(memory.buffer);
const bytes = new Uint8Array(memory.buffer);
view.setUint32(table - 4, halt, true);
places.forEach((at, n) => {
  view.setUint32(table + 4 * n, at, true);
  view.setInt32(ids + 4 * n, n, true);
  bytes.set(job.subarray(place, (place += sizes[n])), at);
});
values.forEach((value, n) => view.setBigInt64(bound + 8 * n, BigInt(value), true));
for (let thread = 0; thread < threads; thread++)
  kernel(table, ids, bound, spare, BigInt(thread), BigInt(threads));
for (const [n, at] of places.entries())
  for (let done = 0; done < sizes[n]; )
    done += writeSync(1, bytes, at + done, sizes[n] - done);
