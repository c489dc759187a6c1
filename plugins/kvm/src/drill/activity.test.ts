/** A real qemu-img that sends to a real qemu-nbd: is it at work, or does it stand still? */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeDrillWorld } from '../testing/drill-world.ts';
import { watchWork } from './activity.ts';
import { dropKey, makeKey, putKey } from './key.ts';
import type { StateDisk } from './state.ts';
import { copyCommand } from './transfer.ts';

const MIB = 1 << 20;
const BYTES = 128 * MIB;
const LOOK_MS = 100;
const signal = AbortSignal.timeout(60_000);
const directory = mkdtempSync(join(tmpdir(), 'lmas-activity-'));
const keyDirectory = join(directory, 'key');
const world = new FakeDrillWorld();
const host = world.source.transport();
const files = { from: join(directory, 'from.img'), to: join(directory, 'to.img') };
let port: number;
let receiver: number;

before(async () => {
  await putKey(host, keyDirectory, makeKey(), { signal });
  writeFileSync(files.from, Buffer.alloc(BYTES, 'something'));
  writeFileSync(files.to, '');
  truncateSync(files.to, BYTES);
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as { port: number }).port;
  server.close();
  const tls = ['--object', `tls-creds-psk,id=tls,endpoint=server,dir=${keyDirectory}`, '--tls-creds=tls'];
  const at = ['--bind=127.0.0.1', `--port=${port}`, `--pid-file=${directory}/pid`, '--export-name=vda', '--format=raw'];
  execFileSync('qemu-nbd', ['--fork', '--persistent', ...at, ...tls, files.to]);
  receiver = Number(readFileSync(`${directory}/pid`, 'utf8'));
});
after(async () => {
  process.kill(receiver, 'SIGKILL');
  await dropKey(host, keyDirectory, { signal });
  await world[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

function startCopying(): ChildProcess {
  const disk: StateDisk = {
    ...{
      name: 'vda',
      via: 'file',
      from: files.from,
      fromFormat: 'raw',
      to: files.to,
      format: 'raw',
      isOverwritten: false,
    },
    ...{ capacityBytes: BYTES, bytes: BYTES },
  };
  const route = { host: '127.0.0.1', port };
  const settings = { bandwidthBytesPerSec: 16 * MIB, toZero: true };
  const [program = '', ...args] = copyCommand(disk, { socket: null, keyDirectory }, route, settings);
  return spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

async function until(condition: () => boolean, what: string): Promise<void> {
  while (!condition()) {
    assert.ok(!signal.aborted, what);
    await sleep(LOOK_MS / 2);
  }
}

test('work is heard while bytes move, and not while they do not', async () => {
  const over = new AbortController();
  let heard = 0;
  let heardAt = 0;
  const onWork = (): void => {
    heard += 1;
    heardAt = performance.now();
  };
  const watching = watchWork(host, keyDirectory, onWork, { signal: over.signal, lookMs: LOOK_MS });
  const copying = startCopying();
  try {
    await until(() => heard > 2, 'it sends');
    process.kill(receiver, 'SIGSTOP');
    // It reads on until all that may be under way is, and the sockets are full.
    await until(() => performance.now() - heardAt > 15 * LOOK_MS, 'nobody receives, and it waits');
    const before = heard;
    process.kill(receiver, 'SIGCONT');
    await until(() => heard > before, 'it sends on');
  } finally {
    const gone = once(copying, 'exit');
    copying.kill();
    await gone;
    over.abort();
    await watching;
  }
});

test('where nothing copies, nothing is heard', async () => {
  const over = new AbortController();
  const watching = watchWork(host, keyDirectory, () => assert.fail('nobody works'), {
    ...{ signal: over.signal, lookMs: LOOK_MS },
  });
  await sleep(5 * LOOK_MS);
  over.abort();
  await watching;
});
