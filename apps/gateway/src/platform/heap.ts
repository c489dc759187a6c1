/**
 * Gives memory back to the system after a burst. What pools let go of is freed when the garbage collector comes by, which may be never in a process that
 * is at rest; and it is freed to the C library, whose heap shrinks from the end only, so that it would stay resident below the smallest thing
 * that outlives it. So both are asked, one after the other, and seldom: each takes some tens of milliseconds.
 */
import v8 from 'node:v8';
import vm from 'node:vm';
import { ffi, type NativeFunction } from './ffi.ts';

/** Less is not worth the pause. */
const worthwhileBytes = 16 << 20;

function bind(): NativeFunction | null {
  try {
    return ffi?.func('int malloc_trim(size_t)') ?? null;
  } catch {
    return null; // A C library that keeps nothing back, or has another way.
  }
}

/** The collector, which Node shows to nobody who did not ask for it. */
function bindCollector(): () => void {
  v8.setFlagsFromString('--expose-gc');
  return vm.runInNewContext('gc') as () => void;
}

const mallocTrim = bind();
let collect: (() => void) | null = null;
let letGoBytes = 0;
/** The collector frees buffers in the background: the C library has them the next time. */
let isCollected = false;

/** Told by pools: so much in buffers has no owner any more. */
export function noteLetGo(bytes: number): void {
  letGoBytes += bytes;
}

/** To be called every few seconds: does something twice after many MiB were let go of. Returns what. */
export function giveBackMemory(): 'nothing' | 'collected' | 'given back' {
  if (isCollected) {
    isCollected = false;
    mallocTrim?.(0);
    return 'given back';
  }
  if (letGoBytes < worthwhileBytes) return 'nothing';
  letGoBytes = 0;
  collect ??= bindCollector();
  collect();
  isCollected = true;
  return 'collected';
}
