/** `xl migrate` and `xl migrate-receive`, step by step as migrate_domain and migrate_receive of xl_migrate.c take them. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  BANNER,
  encodeHeader,
  GO,
  Input,
  memoryStream,
  READY,
  REPORT,
  readHeader,
  receiveMemory,
  write,
} from './handshake.ts';
import type { GuestConfig, ScriptedDomain, ScriptedHost } from './host.ts';
import { holdLock } from './lock.ts';

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** @returns the exit status */
export async function migrate(host: ScriptedHost, domain: ScriptedDomain, rune: string): Promise<number> {
  if (domain.config === null) {
    say('No config file stored for running domain and none supplied - cannot migrate.');
    return 1;
  }
  const child = spawn('sh', ['-c', rune], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => undefined); // SIGPIPE is ignored; the write tells
  const input = new Input(child.stdout);
  const { domid, name } = domain;
  try {
    await input.expect(BANNER);
  } catch {
    child.stdin.destroy();
    return 1;
  }
  try {
    await write(child.stdin, encodeHeader(domain.config));
    await sendMemory(host, domain, (bytes) => write(child.stdin, bytes));
    await host.at('all-sent');
    await input.expect(READY);
    say('migration sender: Target has acknowledged transfer.');
    if (!(await host.rename(domid, `${name}--migratedaway`))) throw new Error('rename');
  } catch (error) {
    child.stdin.destroy();
    say(`migration sender: ${String(error)}`);
    say('Migration failed, resuming at sender.');
    await host.update(domid, { state: 'running' });
    return 1;
  }
  try {
    await host.at('given-name');
    say('migration sender: Giving target permission to start.');
    await write(child.stdin, GO);
    await host.at('given');
    await input.expect(REPORT);
    const status = (await input.read(1))[0];
    if (status !== 0) {
      say(`migration sender: Target reports startup failure (status code ${status}).`);
      await input.expect(GO);
      say('migration sender: Trying to resume at our end.');
      await host.rename(domid, name);
      await host.update(domid, { state: 'running' });
      say('Migration failed due to problems at target.');
      return 1;
    }
  } catch {
    child.stdin.destroy();
    say('** Migration failed during final handshake **');
    return 1;
  }
  say('migration sender: Target reports successful startup.');
  await host.at('reported');
  await host.remove(domid);
  say('Migration successful.');
  return 0;
}

/** The guest stands still before the last piece. */
async function sendMemory(
  host: ScriptedHost,
  { domid, uuid, memoryMib }: ScriptedDomain,
  send: (bytes: Buffer) => Promise<void>,
): Promise<void> {
  const bytes = memoryMib * 1024 ** 2;
  const { bytesPerSec = Number.POSITIVE_INFINITY } = host.settings;
  const started = performance.now();
  let sent = 0;
  let isHalf = false;
  let last: Buffer = Buffer.alloc(0);
  for await (const piece of memoryStream(uuid, bytes)) {
    if (last.length > 0) await send(last);
    sent += last.length;
    last = piece;
    const ahead = (sent / bytesPerSec) * 1_000 - (performance.now() - started);
    if (ahead > 5) await sleep(ahead);
    if (!isHalf && sent > bytes / 2) {
      isHalf = true;
      await host.at('half-sent');
    }
  }
  await host.update(domid, { state: 'suspended' });
  await send(last);
}

/** @returns the exit status */
export async function migrateReceive(host: ScriptedHost): Promise<number> {
  process.stdout.on('error', () => undefined);
  const input = new Input(process.stdin);
  say('migration target: Ready to receive domain.');
  await write(process.stdout, BANNER);
  let domid = 0;
  let name = '';
  try {
    const config = (await readHeader(input)) as GuestConfig;
    name = config.c_info.name;
    await using _lock = await holdLock(host.lockPath); // until all is received, whoever waits
    domid = await host.add({
      ...{ name: `${name}--incoming`, uuid: config.c_info.uuid, state: 'paused', config },
      ...{ memoryMib: config.b_info.max_memkb / 1024, vcpus: config.b_info.max_vcpus },
    });
    await host.at('created');
    await receiveMemory(input);
  } catch (error) {
    if (domid !== 0) await host.remove(domid);
    say(`migration target: Domain creation failed (${String(error)}).`);
    return 1;
  }
  say('migration target: Transfer complete, requesting permission to start domain.');
  await host.at('received');
  try {
    await write(process.stdout, READY);
  } catch {
    return 1;
  }
  const failed = !(await start(host, input, domid, name));
  await host.at('started');
  return report(host, domid, failed);
}

/** The step after the permission has come; false when it did not come, or the hypervisor refused. */
async function start(host: ScriptedHost, input: Input, domid: number, name: string): Promise<boolean> {
  try {
    await input.expect(GO);
  } catch {
    return false;
  }
  say('migration target: Got permission, starting domain.');
  if (await host.at('permitted')) return false;
  if (!(await host.rename(domid, name))) return false;
  await host.at('renamed');
  await host.update(domid, { state: 'running' });
  say('migration target: Domain started successsfully.');
  return true;
}

async function report(host: ScriptedHost, domid: number, failed: boolean): Promise<number> {
  try {
    await write(process.stdout, REPORT);
    await write(process.stdout, Buffer.from([failed ? 1 : 0]));
    if (!failed) return 0;
    say('migration target: Failure, destroying our copy.');
    await host.remove(domid);
    say('migration target: Cleanup OK, granting sender permission to resume.');
    await write(process.stdout, GO);
    return 0;
  } catch {
    return 1; // its copy stays, paused
  }
}
