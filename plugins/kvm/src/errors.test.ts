import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PluginError } from '@lmas/plugin-api';
import { SSH_ERRORS, SshError, type SshErrorCode } from '@lmas/ssh';
import { LibvirtFault, toPluginError } from './errors.ts';
import { ERROR } from './rpc/constants.ts';

const cases: [number, flowing: boolean, code: string, native: string][] = [
  [ERROR.NO_DOMAIN, false, 'VM_NOT_FOUND', 'VIR_ERR_NO_DOMAIN'],
  [ERROR.OPERATION_ABORTED, true, 'ABORTED', 'VIR_ERR_OPERATION_ABORTED'],
  [ERROR.OPERATION_FAILED, true, 'STREAM_FAILED', 'VIR_ERR_OPERATION_FAILED'],
  [ERROR.OPERATION_FAILED, false, 'HYPERVISOR_FAULT', 'VIR_ERR_OPERATION_FAILED'],
  [ERROR.MIGRATE_UNSAFE, false, 'NOT_MIGRATABLE', 'VIR_ERR_MIGRATE_UNSAFE'],
  [ERROR.CPU_INCOMPATIBLE, false, 'INCOMPATIBLE', 'VIR_ERR_CPU_INCOMPATIBLE'],
  [ERROR.OPERATION_TIMEOUT, false, 'BUSY', 'VIR_ERR_OPERATION_TIMEOUT'],
  [4_711, false, 'HYPERVISOR_FAULT', 'VIR_ERR_4711'],
];

for (const [number, flowing, code, native] of cases) {
  test(`libvirt ${number}${flowing ? ' while data flows' : ''} is ${code}`, () => {
    const error = toPluginError(new LibvirtFault(number, 10, 'was sagt libvirt'), 'testing', { flowing });
    assert.deepEqual([error.code, error.native], [code, { name: native, message: 'was sagt libvirt' }]);
  });
}

test('every SSH error has a meaning here', () => {
  for (const code of Object.keys(SSH_ERRORS) as SshErrorCode[]) {
    assert.notEqual(toPluginError(new SshError(code, 'x'), 'testing').code, undefined);
  }
  const changed = toPluginError(new SshError('HOST_KEY_MISMATCH', 'x'), 'testing');
  assert.deepEqual([changed.name, changed.code, changed.message], ['PluginError', 'HOST_KEY_MISMATCH', 'testing: x']);
  assert.match(changed.remedy ?? '', /host-keys/);
});

test('what is translated already stays as it is; time-outs and aborts are told apart', () => {
  const error = new PluginError('BUSY', 'x');
  assert.equal(toPluginError(error, 'testing'), error);
  assert.equal(toPluginError(new DOMException('late', 'TimeoutError'), 'testing').code, 'TIMEOUT');
  assert.equal(toPluginError(new DOMException('stop', 'AbortError'), 'testing').code, 'ABORTED');
  assert.equal(toPluginError(new TypeError('bug'), 'testing').code, 'HYPERVISOR_FAULT');
});
