import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseXml } from '../definition/xml.ts';
import { PROCEDURES } from '../rpc/procedures.ts';
import { encode } from '../rpc/xdr.ts';
import { backupRequest } from './backup.ts';
import type { StateDisk } from './state.ts';
import { copyCommand, readPercent } from './transfer.ts';

const disk: StateDisk = {
  ...{ name: 'vda', from: '/images/a.qcow2', fromFormat: 'qcow2', to: '/b/a.qcow2', capacityBytes: 1024, bytes: 1024 },
  via: 'backup',
  format: 'qcow2',
  isOverwritten: false,
};
const state = { socket: '/run/a,b.sock', keyDirectory: '/tmp/key' };
const route = { host: '192.0.2.7', port: 4711 };
const now = { bandwidthBytesPerSec: null, toZero: true };

test('a backup is read at its socket and written to the route, with the key, and a comma in a path is one', () => {
  const command = copyCommand(disk, state, route, now);
  assert.deepEqual(command.slice(-2), [
    'driver=nbd,server.type=unix,server.path=/run/a,,b.sock,export=vda',
    'driver=nbd,server.type=inet,server.host=192.0.2.7,server.port=4711,export=vda,tls-creds=tls',
  ]);
  assert.ok(command.includes('tls-creds-psk,id=tls,endpoint=client,dir=/tmp/key,username=lmas'));
  assert.ok(!command.includes('-r'));
  const limited = copyCommand(disk, state, route, { ...now, bandwidthBytesPerSec: 1_500_000.7 });
  assert.ok(limited.join(' ').includes('-r 1500000 '));
});

test('what was there before is not taken for zeros', () => {
  const flag = '--target-is-zero';
  assert.ok(copyCommand(disk, state, route, now).includes(flag));
  assert.ok(!copyCommand({ ...disk, isOverwritten: true }, state, route, now).includes(flag));
});

test('what nobody writes to is read as it lies there, in its own format', () => {
  const still = { ...disk, via: 'file' as const };
  assert.equal(
    copyCommand(still, state, route, now).at(-2),
    'driver=qcow2,file.driver=file,file.filename=/images/a.qcow2',
  );
  const device = { ...still, from: '/dev/sr0', fromFormat: 'raw' };
  assert.equal(
    copyCommand(device, state, route, now).at(-2),
    'driver=raw,file.driver=host_device,file.filename=/dev/sr0',
  );
});

test('percents are read from what qemu-img writes, in whatever pieces it comes', () => {
  assert.equal(readPercent('    (0.00/100%)\r    (12.34/100%)\r'), 12.34);
  assert.equal(readPercent('    (100.00/100%)\r\n'), 100);
  assert.equal(readPercent('    (10'), undefined);
});

test('the backup names every disk: those that are copied, and those that are not', () => {
  const xml = backupRequest(`/run/o'k.sock`, [
    { name: 'vda', scratch: '/s/<a>' },
    { name: 'sda', scratch: undefined },
  ]);
  const { root } = parseXml(xml, 'domainbackup');
  assert.equal(root.getAttribute('mode'), 'pull');
  const disks = Array.from(root.getElementsByTagName('disk'));
  assert.deepEqual(
    disks.map((element) => [element.getAttribute('name'), element.getAttribute('backup')]),
    [
      ['vda', 'yes'],
      ['sda', 'no'],
    ],
  );
  assert.equal(root.getElementsByTagName('scratch')[0]?.getAttribute('file'), '/s/<a>');
  assert.equal(root.getElementsByTagName('server')[0]?.getAttribute('socket'), `/run/o'k.sock`);
});

test('the backup travels as libvirt lays it out: domain, XML, no checkpoint, flags', () => {
  const uuid = Buffer.alloc(16, 1);
  const { number, args } = PROCEDURES.domainBackupBegin;
  assert.equal(number, 421);
  assert.equal(
    encode(args, { domain: { name: 'g', uuid, id: 2 }, backupXml: 'x', checkpointXml: null, flags: 0 }).toString('hex'),
    `0000000167000000${'01'.repeat(16)}0000000200000001780000000000000000000000`,
  );
});
