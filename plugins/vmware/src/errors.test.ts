import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PLUGIN_ERRORS, PluginError } from '@lmas/plugin-api';
import { FAULTS, toPluginError, VimFault, VimSilence } from './errors.ts';
import { EXPECTED_CODES } from './testing/fault-codes.ts';

test('every fault becomes its code and keeps its name; none is translated that nobody expects', () => {
  assert.deepEqual(Object.keys(FAULTS).sort(), [...EXPECTED_CODES.keys()].sort());
  for (const [name, code] of EXPECTED_CODES) {
    const error = toPluginError(new VimFault(name, 'in words', { _typeName: name }), 'migrating');
    assert.deepEqual([error.code, error.native], [code, { name, message: 'in words' }]);
    assert.equal(error.message, `migrating: ${name}: in words`);
    assert.equal(error.retryable, PLUGIN_ERRORS[code].retryable);
  }
});

test('a fault that nobody named is a fault of the hypervisor, unless its cause has a name', () => {
  assert.equal(toPluginError(new VimFault('SystemError', 'x', {}), 'it').code, 'HYPERVISOR_FAULT');
  const cause = { faultCause: { fault: { _typeName: 'VMotionLinkDown' }, localizedMessage: 'down' } };
  const error = toPluginError(new VimFault('GenericVmConfigFault', 'x', cause), 'it');
  assert.deepEqual([error.code, error.native?.name], ['STREAM_FAILED', 'GenericVmConfigFault']);
});

test('a fault without words is told by its fields', () => {
  const of = (detail: object) => toPluginError(new VimFault('InvalidArgument', '', detail), 'it').message;
  const fields = { _typeName: 'InvalidArgument', invalidProperty: 'spec.disk', obj: { type: 'Task', value: 'task-7' } };
  assert.equal(
    of({ ...fields, faultCause: { fault: {} } }),
    'it: InvalidArgument (invalidProperty=spec.disk, obj=task-7)',
  );
  assert.equal(of({}), 'it: InvalidArgument');
});

test('what is gone is the VM only if it was one', () => {
  const gone = (type: string) =>
    toPluginError(new VimFault('ManagedObjectNotFound', '', { obj: { type, value: 'x-1' } }), 'it').code;
  assert.deepEqual([gone('VirtualMachine'), gone('Task')], ['VM_NOT_FOUND', 'HYPERVISOR_FAULT']);
});

test('the missing privilege and the certificate that was seen are in the remedy', () => {
  const remedy = (name: string, detail: object) => toPluginError(new VimFault(name, '', detail), 'it').remedy ?? '';
  assert.match(remedy('NoPermission', { privilegeId: 'Resource.HotMigrate' }), /Resource\.HotMigrate/);
  assert.match(remedy('SSLVerifyFault', { thumbprint: 'AA:BB' }), /AA:BB/);
});

test('silence says whether the call may have been taken', () => {
  const of = (kind: VimSilence['kind']) => toPluginError(new VimSilence(kind, 'x'), 'it').code;
  assert.deepEqual(
    [of('unreachable'), of('lost'), of('timeout'), of('not-vsphere')],
    ['UNREACHABLE', 'CONNECTION_LOST', 'TIMEOUT', 'INVALID_CONFIG'],
  );
});

test('our own errors pass, also those of another copy of the contract', () => {
  const ours = new PluginError('BUSY', 'x');
  assert.equal(toPluginError(ours, 'it'), ours);
  assert.equal(toPluginError(Object.assign(new Error('x'), { code: 'SUPERSEDED' }), 'it').code, 'SUPERSEDED');
  assert.equal(toPluginError(new DOMException('stop', 'AbortError'), 'it').code, 'ABORTED');
});
