import assert from 'node:assert/strict';
import { test } from 'node:test';
import { data, type Ref } from './data-objects.ts';
import { decodeFault, decodeValue, encodeParameters, pathOf } from './vi-json.ts';

const host: Ref = { type: 'HostSystem', value: 'host-9' };

test('a call: one member for each parameter, every object with its type', () => {
  const spec = data('VirtualMachineRelocateSpec', {
    host,
    profile: [data('VirtualMachineDefinedProfileSpec', { profileId: 'p' })],
  });
  assert.deepEqual(JSON.parse(encodeParameters('RelocateVM_Task', { spec, priority: undefined }) ?? ''), {
    spec: {
      _typeName: 'VirtualMachineRelocateSpec',
      host: { _typeName: 'ManagedObjectReference', type: 'HostSystem', value: 'host-9' },
      profile: [{ _typeName: 'VirtualMachineDefinedProfileSpec', profileId: 'p' }],
    },
  });
  assert.equal(encodeParameters('CancelTask', {}), undefined);
  assert.throws(() => encodeParameters('RelocateVM_Task', { sepc: spec }), /no field sepc/);
});

test('a device goes back as it came; a reference that was put into it has its type', () => {
  const device = { _typeName: 'VirtualVmxnet3', key: 4000, backing: { _typeName: 'B', network: host } };
  const change = data('VirtualDeviceConfigSpec', { operation: 'edit', device });
  const spec = data('VirtualMachineRelocateSpec', { deviceChange: [change] });
  const sent = JSON.parse(encodeParameters('RelocateVM_Task', { spec }) ?? '');
  assert.deepEqual(sent.spec.deviceChange[0].device, {
    ...device,
    backing: { _typeName: 'B', network: { _typeName: 'ManagedObjectReference', ...host } },
  });
});

test('the path names release, type, object and method', () => {
  assert.equal(
    pathOf('8.0.1.0', host, 'UpdateNetworkConfig'),
    '/sdk/vim25/8.0.1.0/HostSystem/host-9/UpdateNetworkConfig',
  );
  assert.equal(pathOf('8.0.1.0', { type: 'T', value: 'a/../b' }, 'x'), '/sdk/vim25/8.0.1.0/T/a%2F..%2Fb/x');
});

test('boxes are opened, at any depth', () => {
  const answer = {
    _typeName: 'RetrieveResult',
    objects: [
      {
        propSet: [
          { name: 'n', val: { _typeName: 'int', _value: 3 } },
          {
            name: 'vnic',
            val: { _typeName: 'ArrayOfHostVirtualNic', _value: [{ _typeName: 'HostVirtualNic', device: 'vmk1' }] },
          },
        ],
      },
    ],
  };
  assert.deepEqual(decodeValue(answer), {
    _typeName: 'RetrieveResult',
    objects: [
      {
        propSet: [
          { name: 'n', val: 3 },
          { name: 'vnic', val: [{ _typeName: 'HostVirtualNic', device: 'vmk1' }] },
        ],
      },
    ],
  });
});

test('a fault is an object with a type; anything else is none', () => {
  const fault = decodeFault({ _typeName: 'NotAuthenticated', faultstring: 'The session is not authenticated.' });
  assert.deepEqual([fault?.name, fault?.message], ['NotAuthenticated', 'The session is not authenticated.']);
  for (const other of [null, 'error', { error: 1 }, { _typeName: 5 }]) assert.equal(decodeFault(other), undefined);
});
