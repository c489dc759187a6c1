import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from './command.ts';
import { domainXml } from './domain.ts';
import { ensureKeyPair, fingerprintOf } from './machine-files.ts';

test('the emulator gets 8 KiB more memory than libvirt asked for, and every other argument untouched', async () => {
  const wrapper = join(import.meta.dirname, 'lab-qemu.sh');
  const object = (size: number) => `{"qom-type":"memory-backend-ram","id":"pc.ram","size":${size}}`;
  const wrapped = async (...args: string[]) =>
    (await run('env', ['LAB_QEMU=/bin/echo', 'bash', wrapper, ...args])).stdout.trim();
  assert.equal(
    await wrapped('-name', 'a b', '-m', '256', '-object', object(268435456), '-S'),
    `-name a b -m size=262152k -object ${object(268443648)} -S`,
  );
  assert.equal(await wrapped('-m', 'size=1048576k', '-object', 'secret,id=s'), '-m size=1048584k -object secret,id=s');
  assert.equal(await wrapped('-no-user-config', '-S'), '-no-user-config -S');
});

test('the fingerprint is the one that OpenSSH prints', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'lab-key-'));
  try {
    const key = join(directory, 'key');
    await ensureKeyPair(key, 'test');
    const printed = (await run('ssh-keygen', ['-l', '-f', `${key}.pub`])).stdout.split(' ')[1];
    assert.equal(fingerprintOf(`${key}.pub`), printed);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a guest is told what it should do on its command line', () => {
  const identity = { uuid: '12345678-9abc-def0-1234-56789abcdef0', seed: 7 };
  const xml = domainXml(
    {
      name: 'g',
      memoryMib: 128,
      dirtyPagesPerSec: 9,
      disks: [{ kind: 'shared', format: 'raw', sizeMib: 8 }],
      network: 'site',
      site: 'b',
    },
    identity,
  );
  assert.match(
    xml,
    /<cmdline>uuid=12345678-9abc-def0-1234-56789abcdef0 seed=7 fill=96 wss=0 dirty=9 zero=0 repeat=0 little=0 disk=8 sectors=0<\/cmdline>/,
  );
  assert.match(xml, /<source file='\/var\/lib\/lab-shared\/g-0.img'\/><target dev='hda' bus='ide'\/>/);
  assert.match(xml, /<mac address='52:54:00:bc:de:f0'\/><source bridge='br-b'\/>/);
});
