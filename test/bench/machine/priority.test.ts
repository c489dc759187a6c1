import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { test } from 'node:test';
import { keepPriority } from './priority.ts';

test('a program in a session of its own has the nice value of the benchmark, for its session', {
  skip: !existsSync('/proc/self/autogroup'),
}, async () => {
  // Anybody may ask for less, and this process runs nothing else.
  const nice = Math.min(19, getPriority() + 1);
  setPriority(nice);
  const child = spawn('sleep', ['10'], { detached: true });
  await once(child, 'spawn');
  try {
    keepPriority(child.pid);
    assert.match(readFileSync(`/proc/${child.pid}/autogroup`, 'utf8'), new RegExp(`nice ${nice}$`, 'm'));
  } finally {
    child.kill();
  }
  await once(child, 'exit');
  keepPriority(child.pid);
});
