import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pluginErrorCode } from '@lmas/plugin-api';
import { readDefinition } from './definition.ts';
import { changesDefinition, type Mapping, mapDefinition } from './mapping.ts';

const XML = `<domain type='kvm' id='3'>
  <name>web &amp; co</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
  <metadata><x:y xmlns:x='http://example.org/inventory'>1</x:y></metadata>
  <memory unit='GiB'>4</memory><vcpu placement='static'>8</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><nvram>/var/lib/nvram/web.fd</nvram></os>
  <cpu mode='custom' match='exact'><model>Skylake-Server</model></cpu>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>
      <source file='/images/web.qcow2' index='2'><seclabel model='dac'/></source>
      <backingStore type='file'><format type='qcow2'/><source file='/images/base.qcow2'/><backingStore/></backingStore>
      <target dev='vda' bus='virtio'/></disk>
    <disk type='block' device='disk'><driver type='raw'/><source dev='/dev/vg/data'/><backingStore/><target dev='vdb'/></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='pool/img'/><target dev='vdc'/></disk>
    <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>
    <interface type='network'><source network='lan' portid='p' bridge='virbr1'/><mac address='52:54:00:00:00:01'/></interface>
    <interface type='bridge'><source bridge='br0'/></interface>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
  </devices></domain>`;

test('a definition is read', () => {
  const definition = readDefinition(XML);
  assert.deepEqual(
    [definition.name, definition.memoryBytes, definition.vcpus, definition.machine, definition.cpuMode],
    ['web & co', 4 * 1024 ** 3, 8, 'pc-q35-7.2', 'custom'],
  );
  assert.deepEqual(
    definition.disks.map((disk) => [
      disk.name,
      disk.sourceType,
      disk.location,
      disk.format,
      disk.readOnly,
      disk.hasBacking,
    ]),
    [
      ['vda', 'file', '/images/web.qcow2', 'qcow2', false, true],
      ['vdb', 'block', '/dev/vg/data', 'raw', false, false],
      ['vdc', 'network', 'rbd:pool/img', 'raw', false, false],
      ['sda', 'file', undefined, 'raw', true, false],
    ],
  );
  assert.deepEqual(definition.interfaces, [
    { type: 'network', source: 'lan' },
    { type: 'bridge', source: 'br0' },
  ]);
  assert.deepEqual(
    [definition.nvram, definition.emulatedTpm, definition.managedBy],
    ['/var/lib/nvram/web.fd', true, null],
  );
});

describe('who else owns a VM', () => {
  const owned: [string, string, string | null][] = [
    ['nova', `<metadata><n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/></metadata>`, 'a'],
    ['ovirt', `<metadata><o:vm xmlns:o='http://ovirt.org/vm/1.0'/></metadata>`, 'a'],
    ['kubevirt', `<metadata><k:kubevirt xmlns:k='http://kubevirt.io'/></metadata>`, 'a'],
    ['pacemaker', `<metadata><p:r xmlns:p='http://clusterlabs.org/pacemaker'/></metadata>`, 'a'],
    ['nova', '', 'instance-0000002a'],
    ['opennebula', '', 'one-12'],
    ['cloudstack', '', 'i-2-34-VM'],
  ];
  for (const [manager, metadata, name] of owned) {
    test(`${manager} by ${metadata === '' ? 'name' : 'metadata'}`, () => {
      const xml = `<domain type='kvm'><name>${name}</name>${metadata}<devices/></domain>`;
      assert.equal(readDefinition(xml).managedBy, manager);
    });
  }
});

test('labels are those of our own metadata, as virsh writes them', () => {
  const metadata = `<metadata><l:labels xmlns:l='urn:lmas:labels:1'><l:label>tier=db</l:label><l:label> dr </l:label></l:labels>
    <o:labels xmlns:o='http://example.org/'><o:label>other</o:label></o:labels></metadata>`;
  assert.deepEqual(readDefinition(`<domain><name>a</name>${metadata}<devices/></domain>`).labels, ['tier=db', 'dr']);
  assert.deepEqual(readDefinition('<domain><name>a</name><devices/></domain>').labels, []);
});

test('devices of the host are named', () => {
  const xml = `<domain><name>a</name><devices><hostdev mode='subsystem' type='pci'/><interface type='vdpa'/>
    <filesystem type='mount'><driver type='virtiofs'/></filesystem><shmem name='s'/></devices></domain>`;
  assert.deepEqual(readDefinition(xml).hostDevices, [
    'hostdev pci',
    'interface vdpa',
    'filesystem virtiofs',
    'shmem s',
  ]);
});

test('what is no domain is refused, and nothing is fetched', () => {
  for (const xml of [
    '',
    '<network/>',
    '<domain>',
    '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]><d>&e;</d>',
  ]) {
    assert.throws(
      () => readDefinition(xml),
      (error) => pluginErrorCode(error) === 'HYPERVISOR_FAULT',
    );
  }
});

describe('mapping', () => {
  const none: Mapping = { disks: {}, networks: {}, flattened: new Set() };

  test('moves disks and interfaces, and leaves everything else as it was', () => {
    const mapped = mapDefinition(XML, {
      disks: { vda: '/dev/vg/web', vdb: `/new "place"/d'ata.img` },
      networks: { lan: 'wan', br0: 'br7' },
      flattened: new Set(['vda']),
    });
    const definition = readDefinition(mapped);
    assert.deepEqual(
      definition.disks.map((disk) => [disk.name, disk.sourceType, disk.location, disk.hasBacking]),
      [
        ['vda', 'block', '/dev/vg/web', false],
        ['vdb', 'file', `/new "place"/d'ata.img`, false],
        ['vdc', 'network', 'rbd:pool/img', false],
        ['sda', 'file', undefined, false],
      ],
    );
    assert.deepEqual(
      definition.interfaces.map(({ source }) => source),
      ['wan', 'br7'],
    );
    assert.ok(!mapped.includes('portid') && !mapped.includes('virbr1') && !mapped.includes('base.qcow2'));
    assert.ok(mapped.includes('52:54:00:00:00:01') && mapped.includes('web &amp; co'));
    assert.equal(mapped.match(/<backingStore\s*\/>/g)?.length, 2);
  });

  test('a network that is mapped to its own name stays as it is, its port group included', () => {
    const same: Mapping = { ...none, networks: { lan: 'lan', br0: 'br0' } };
    assert.equal(mapDefinition(XML, same), mapDefinition(XML, none));
  });

  test('without anything to map nothing is changed', () => {
    assert.equal(changesDefinition(none), false);
    assert.deepEqual(readDefinition(mapDefinition(XML, none)), readDefinition(XML));
    assert.equal(changesDefinition({ ...none, flattened: new Set(['vda']) }), true);
  });
});
