/**
 * The demonstration, as a user runs it: what it promises with its exit code and its JSON.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

const DEMO = join(import.meta.dirname, 'demo.ts');

function startDemo(...args: string[]) {
  const child = spawn(process.execPath, [DEMO, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  return { child, said: () => output };
}

const labNamespaces = (): string[] =>
  existsSync('/run/netns') ? readdirSync('/run/netns').filter((name) => name.startsWith('lab-demo-')) : [];

test('the same VM twice: verified, faster through LMAS, nothing left over', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'lmas-demo-'));
  try {
    const { child, said } = startDemo('--json', join(directory, 'result.json'));
    const [code] = await once(child, 'exit');
    assert.equal(code, 0, said());
    const { direct, lmas, ratio, leftovers } = JSON.parse(readFileSync(join(directory, 'result.json'), 'utf8'));
    for (const run of [direct, lmas]) {
      assert.equal(run.memoryVerified, true);
      assert.ok(run.bytes > 1 << 30, `${run.bytes} bytes`);
      assert.ok(run.totalMs > 0 && run.downtimeMs > 0 && run.linkShare > 0 && run.goodputBitsPerSec > 0);
    }
    assert.ok(ratio > 1, `ratio ${ratio}`);
    assert.deepEqual(leftovers, []);
    assert.deepEqual(labNamespaces(), []);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

for (const words of ['Orchestrator, with', 'Moving it without LMAS']) {
  test(`Ctrl-C after "${words}" takes everything down`, async () => {
    const { child, said } = startDemo();
    const exited = once(child, 'exit');
    let over = false;
    exited.finally(() => {
      over = true;
    });
    while (!said().includes(words)) {
      assert.ok(!over, `it ended before: ${said()}`);
      await delay(50);
    }
    await delay(1_500);
    child.kill('SIGINT');
    const [code] = await exited;
    assert.equal(code, 130, said());
    assert.deepEqual(labNamespaces(), []);
  });
}

test('what cannot be is refused before anything is touched', async () => {
  for (const args of [['--rate', 'fast'], ['--memory', '12'], ['--nonsense']]) {
    const [code] = await once(startDemo(...args).child, 'exit');
    assert.equal(code, 2, args.join(' '));
  }
});
