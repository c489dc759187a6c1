// The two machines of README.md, run for real: its commands and its two files, taken from the page itself, on the gateway machines of the
// lab. Only the example's addresses are replaced. Bytes go both ways, half-close and all.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Lab, type LabHost, labDown, labUp } from '../../../test/lab/src/index.ts';

const LAB = 'gwpolish';
const README = readFileSync(path.join(import.meta.dirname, '../README.md'), 'utf8');
const PROGRAM = path.join(import.meta.dirname, '../bin/lmas-gateway.mjs');
const BYTES = 20_000_000;

/** The fenced blocks of one language in the section about two machines. */
function blocks(language: string): string[] {
  const section = /^## Two machines by hand$([\s\S]*?)(?:^## |(?![\s\S]))/m.exec(README)?.[1] ?? '';
  const found = [...section.matchAll(new RegExp(`^\`\`\`${language}\\b.*\n([\\s\\S]*?)^\`\`\`$`, 'gm'))];
  return found.map((match) => (match[1] ?? '').trim());
}

/** Runs a command of the page in a machine, as its reader would: `lmas-gateway` is on the path. */
function shell(machine: LabHost, command: string, stdout: 'inherit' | 'pipe' = 'inherit'): ChildProcess {
  const args = machine.enterArguments(['/bin/sh', '-c', `PATH=/root/bin:$PATH; exec ${command}`]);
  return spawn('nsenter', args, { stdio: ['ignore', stdout, 'inherit'] });
}

async function output(machine: LabHost, command: string): Promise<{ code: number | null; text: string }> {
  const child = shell(machine, command, 'pipe');
  let text = '';
  child.stdout?.on('data', (chunk) => {
    text += String(chunk);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, text };
}

function install(machine: LabHost): void {
  mkdirSync(machine.path('/root/bin'), { recursive: true });
  const file = machine.path('/root/bin/lmas-gateway');
  writeFileSync(file, `#!/bin/sh\nexec ${process.execPath} ${PROGRAM} "$@"\n`);
  chmodSync(file, 0o755);
}

/** Sends so many bytes, ends its direction, and prints the length and hash of what came. */
const PEER = `
const [role, host, port] = process.argv.slice(1);
const net = require('node:net'), crypto = require('node:crypto');
const talk = (socket) => {
  const hash = crypto.createHash('sha1'), out = crypto.randomBytes(${BYTES});
  let bytes = 0;
  socket.on('data', (chunk) => { hash.update(chunk); bytes += chunk.length; });
  socket.on('end', () => console.log(JSON.stringify({
    sent: crypto.createHash('sha1').update(out).digest('hex'), bytes, received: hash.digest('hex') })));
  socket.on('close', () => process.exit(0));
  socket.end(out);
};
const allowHalfOpen = true;
if (role === 'serve') net.createServer({ allowHalfOpen }, talk).listen(Number(port), host);
else { const socket = net.connect({ host, port: Number(port), allowHalfOpen }, () => talk(socket)); }
`;

interface Told {
  sent: string;
  bytes: number;
  received: string;
}

async function peer(machine: LabHost, role: 'serve' | 'connect', host: string): Promise<Told> {
  const args = machine.enterArguments([process.execPath, '-e', PEER, role, host, '49152']);
  const child = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += String(chunk);
  });
  await once(child, 'close');
  return JSON.parse(text) as Told;
}

function localised(lab: Lab, text: string): string {
  const { a, b } = lab.sites;
  const places: Record<string, string> = {
    '10.1.0.10': a.host.dataAddress,
    '10.1.0.5': a.gatewayHost.dataAddress,
    '10.2.0.10': b.host.dataAddress,
    '10.2.0.5': b.gatewayHost.dataAddress,
  };
  return text.replaceAll(/\b10\.[12]\.0\.\d+\b/g, (address) => places[address] ?? address);
}

async function established(machine: LabHost, command: string): Promise<void> {
  for (let tries = 0; tries < 60; tries += 1) {
    const { code, text } = await output(machine, command);
    if (code === 0 && JSON.parse(text).session.state === 'established') return;
    await sleep(200);
  }
  throw new Error('The gateways did not find each other.');
}

async function followThePage(lab: Lab): Promise<void> {
  // What comes before them on the page brings the program itself; `install` has done that.
  const [keygen = '', start = '', status = ''] = blocks('sh').filter((text) => text.startsWith('lmas-gateway '));
  const [configB = '', configA = ''] = blocks('json').map((text) => localised(lab, text));
  const { a, b } = lab.sites;
  const [here, there] = [a.gatewayHost, b.gatewayHost];
  for (const machine of [here, there]) {
    install(machine);
    assert.equal((await output(machine, keygen)).code, 0);
  }
  copyFileSync(here.path('/var/lib/lmas/certificate.pem'), there.path('/var/lib/lmas/peer.pem'));
  copyFileSync(there.path('/var/lib/lmas/certificate.pem'), here.path('/var/lib/lmas/peer.pem'));
  writeFileSync(there.path('/var/lib/lmas/gateway.json'), configB);
  writeFileSync(here.path('/var/lib/lmas/gateway.json'), configA);
  for (const machine of [there, here]) shell(machine, start);
  await Promise.all([here, there].map((machine) => established(machine, status)));
  const serving = peer(b.host, 'serve', b.host.dataAddress);
  await listening(b.host);
  const [source, destination] = await Promise.all([peer(a.host, 'connect', here.dataAddress), serving]);
  assert.deepEqual([source.bytes, destination.bytes], [BYTES, BYTES]);
  assert.deepEqual([source.received, destination.received], [destination.sent, source.sent]);
}

async function listening(machine: LabHost): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    if ((await machine.exec(['ss', '-Hltn', 'sport = :49152'])).stdout.trim() !== '') return;
    await sleep(50);
  }
  throw new Error('The destination does not listen.');
}

const skip = process.getuid?.() === 0 ? false : 'The lab needs root.';

test('the two machines of README.md carry bytes both ways', { skip, timeout: 90_000 }, async () => {
  const lab = await labUp({ name: LAB, rateMbit: 1000, rttMs: 20, lossPct: 0 });
  try {
    await followThePage(lab);
  } finally {
    assert.deepEqual((await labDown(LAB)).leftovers, []);
  }
});
