import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDefinition } from '../definition/definition.ts';
import { copyDefinition, filesNeeded, nvramOf, readMark } from './definition.ts';
import { drillNames, isOwnFile } from './names.ts';

const UUID = '4dea22b3-1d52-d8f3-2516-782e98ab3fa0';
const MAC = '52:54:00:aa:bb:01';
const XML = `<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web &amp; co</name><uuid>${UUID}</uuid><genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid>
  <metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'/></metadata>
  <memory unit='GiB'>4</memory><vcpu>8</vcpu>
  <sysinfo type='smbios'><system><entry name='uuid'>${UUID}</entry><entry name='serial'>s1</entry></system></sysinfo>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF/CODE.fd</loader>
    <nvram type='file' template='/usr/share/OVMF/VARS.fd'><source file='/var/lib/nvram/web.fd'/></nvram></os>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>preserve</on_crash>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk' snapshot='external'><driver name='qemu' type='qcow2' cache='none' copy_on_read='on'/>
      <source file='/images/web.qcow2' index='2'><seclabel model='dac'/></source>
      <backingStore type='file'><format type='qcow2'/><source file='/images/base.qcow2'/></backingStore>
      <mirror type='file' job='copy'><source file='/images/other.qcow2'/></mirror>
      <target dev='vda' bus='virtio'/><serial>d1</serial><alias name='virtio-disk0'/></disk>
    <disk type='network' device='disk'><auth username='u'><secret type='ceph' uuid='${UUID}'/></auth>
      <source protocol='rbd' name='pool/img'/><target dev='vdb' bus='virtio'/></disk>
    <disk type='network' device='cdrom'><source protocol='https' name='x.iso'/><target dev='sda'/><readonly/></disk>
    <interface type='network'><mac address='${MAC}'/><source network='lan' portid='p' bridge='virbr1'/><target dev='vnet4'/>
      <virtualport type='openvswitch'/><filterref filter='clean'/><model type='virtio'/><driver queues='4'/><alias name='net0'/>
      <address type='pci' slot='3'/></interface>
    <interface type='bridge'><mac address='52:54:00:aa:bb:02'/><source bridge='br0'/><model type='virtio'/></interface>
    <interface type='hostdev'><mac address='52:54:00:aa:bb:03'/><source><address type='pci'/></source></interface>
    <serial type='unix'><source mode='bind' path='/run/web.sock'/><log file='/var/log/web.log'/><target port='0'/></serial>
    <console type='file'><source path='/var/log/console.log'/><target type='virtio' port='1'/></console>
    <channel type='unix'><source mode='bind' path='/var/lib/web/agent'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <graphics type='vnc' port='5901' autoport='no' listen='0.0.0.0' passwdValidTo='2030-01-01T00:00:00'><listen type='address' address='0.0.0.0'/></graphics>
    <graphics type='egl-headless'><gl rendernode='/dev/dri/renderD128'/></graphics>
    <video><model type='virtio'><acceleration accel3d='yes'/></model></video>
    <hostdev mode='subsystem' type='pci'><source/></hostdev>
    <filesystem type='mount'><source dir='/srv/web'/><target dir='web'/></filesystem>
    <shmem name='web'/><redirdev bus='usb' type='tcp'/>
    <memory model='nvdimm'><source><path>/srv/nvdimm</path></source></memory>
    <rng model='virtio'><backend model='egd' type='tcp'/></rng><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0' persistent_state='yes'><encryption secret='${UUID}'/></backend></tpm>
    <vsock model='virtio'><cid auto='no' address='7'/></vsock>
    <memballoon model='virtio'/>
  </devices>
  <seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+64055</label></seclabel>
  <qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=/images/web.qcow2'/></qemu:commandline>
</domain>`;

const names = drillNames('m_1', 'web & co');
const copy = copyDefinition(XML, {
  ...{ names, migrationId: 'm_1', vmId: UUID, nvram: '/copies/VARS.fd' },
  disks: { vda: { path: '/copies/a.qcow2', format: 'qcow2' }, vdb: { path: '/copies/b.img', format: 'raw' } },
  networks: { lan: { kind: 'bridge', name: 'br-quiet' } },
});

test('who looks after VMs of others leaves a copy alone', () => {
  assert.equal(readDefinition(copy.xml).managedBy, 'a drill of LMAS');
});

test('nothing of the VM or of its host is left in the definition of its copy', () => {
  for (const trace of [
    '/images/',
    '/run/web',
    '/var/log/',
    '/var/lib/',
    '/srv/',
    '/dev/dri',
    'pool/img',
    'x.iso',
    MAC,
  ]) {
    assert.ok(!copy.xml.includes(trace), trace);
  }
  for (const trace of [
    'vnet4',
    'openvswitch',
    'clean',
    'nova',
    'qemu:arg',
    '0.0.0.0',
    '64055',
    'secret',
    '43dc0cf8',
    'br0',
  ]) {
    assert.ok(!copy.xml.includes(trace), trace);
  }
  assert.equal(copy.xml.split(UUID).length, 2, 'the VM is named in the mark alone');
});

test('it has a name, an identity, files and addresses of its own', () => {
  const definition = readDefinition(copy.xml);
  assert.deepEqual([definition.name, definition.uuid], [names.name, names.uuid]);
  assert.match(names.name, /^web & co-drill-[0-9a-f]{8}$/);
  assert.match(names.uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(
    definition.disks.map(({ name, sourceType, location, format }) => [name, sourceType, location, format]),
    [
      ['vda', 'file', '/copies/a.qcow2', 'qcow2'],
      ['vdb', 'file', '/copies/b.img', 'raw'],
      ['sda', 'file', undefined, 'raw'],
    ],
  );
  assert.deepEqual(readMark(copy.xml), { migrationId: 'm_1', vmId: UUID });
  assert.equal(readMark(XML), undefined);
  assert.equal(nvramOf(XML), '/var/lib/nvram/web.fd');
  assert.equal(nvramOf(copy.xml), '/copies/VARS.fd');
});

test('only a network that is named is connected; the others have no link and no bridge', () => {
  const nics = readDefinition(copy.xml).interfaces;
  assert.deepEqual(nics, [
    { type: 'bridge', source: 'br-quiet' },
    { type: 'ethernet', source: undefined },
  ]);
  assert.equal(copy.xml.split(`<link state="down"/>`).length, 2);
  assert.ok(copy.xml.includes(names.mac(0)) && copy.xml.includes(names.mac(1)) && names.mac(0) !== names.mac(1));
  assert.match(names.mac(0), /^52:54:00(:[0-9a-f]{2}){3}$/);
  assert.ok(copy.xml.includes(`<driver queues="4"/>`), 'what the guest sees of a NIC stays');
});

test('what cannot be given to a copy is left out, and said', () => {
  assert.deepEqual(copy.leftOut, [
    'qemu:commandline',
    'interface hostdev',
    'graphics egl-headless',
    'hostdev pci',
    'filesystem mount',
    'shmem',
    'redirdev tcp',
    'memory nvdimm',
    'rng virtio',
  ]);
  assert.ok(
    copy.xml.includes('/dev/urandom') && copy.xml.includes('tpm-crb') && copy.xml.includes('org.qemu.guest_agent.0'),
  );
});

test('a map that knows names of objects only connects nothing by accident', () => {
  const xml = XML.replace("bridge='br0'", "bridge='constructor'");
  const settings = { names, migrationId: 'm_1', vmId: UUID, nvram: undefined, disks: {}, networks: {} };
  const nics = readDefinition(copyDefinition(xml, settings).xml).interfaces;
  assert.ok(nics.every(({ type }) => type === 'ethernet'));
});

test('the files that it starts from are those of the VM', () => {
  assert.deepEqual(filesNeeded(XML), ['/usr/share/OVMF/CODE.fd', '/usr/bin/qemu-system-x86_64']);
});

test('names come from the record alone, stay short, and tell drills apart', () => {
  const other = drillNames('m_2', 'web & co');
  assert.deepEqual(drillNames('m_1', 'web & co').uuid, names.uuid);
  assert.notEqual(other.uuid, names.uuid);
  assert.ok(Buffer.byteLength(drillNames('m_1', 'ü'.repeat(200)).name) <= 200);
  assert.ok(isOwnFile(names, `/copies/${drillNames('m_1', 'renamed').name}-vda.img`));
  assert.ok(!isOwnFile(names, `/copies/${other.name}-vda.img`));
  assert.ok(!isOwnFile(names, `/copies${names.name}-vda.img/vda.img`));
});
