/** Who is as good as gone, and who only does not do it now. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PluginError, type PluginErrorCode } from '@lmas/plugin-api';
import { SshError, type SshErrorCode } from '@lmas/ssh';
import { LmasError, type OrchestratorErrorCode } from '../errors.ts';
import { isOutOfReach } from './out-of-reach.ts';

const machine = (code: SshErrorCode) =>
  new LmasError('GATEWAY_UNREACHABLE', 'Gateway machine of site a: …', { cause: new SshError(code, '…') });

test('an end where nobody answers, or that is not registered any more, is out of reach', () => {
  for (const code of ['UNREACHABLE', 'CONNECTION_LOST'] as const) assert.ok(isOutOfReach(new PluginError(code, '…')));
  for (const code of ['UNREACHABLE', 'CONNECTION_LOST', 'TIMEOUT'] as const) assert.ok(isOutOfReach(machine(code)));
  const codes: OrchestratorErrorCode[] = ['GATEWAY_UNREACHABLE', 'SITE_NOT_FOUND', 'ENDPOINT_NOT_FOUND', 'NO_GATEWAY'];
  for (const code of codes) assert.ok(isOutOfReach(new LmasError(code)), code);
});

test('so is what belonged to a VM that both ends do not know any more', () => {
  assert.ok(isOutOfReach(new PluginError('VM_NOT_FOUND', '…')));
});

test('one that answers is not, whatever it says: streams are open, a login is refused, it takes too long', () => {
  const plugin: PluginErrorCode[] = ['LOGIN_REFUSED', 'HOST_KEY_MISMATCH', 'BUSY', 'TIMEOUT', 'HYPERVISOR_FAULT'];
  for (const code of plugin) assert.ok(!isOutOfReach(new PluginError(code, '…')), code);
  for (const code of ['LOGIN_REFUSED', 'HOST_KEY_MISMATCH', 'COMMAND_FAILED'] as const) {
    assert.ok(!isOutOfReach(machine(code)), code);
  }
  const codes: OrchestratorErrorCode[] = ['IN_USE', 'STAGE_TIMEOUT', 'GATEWAY_REFUSED', 'INTERNAL'];
  for (const code of codes) assert.ok(!isOutOfReach(new LmasError(code)), code);
  assert.ok(!isOutOfReach(new Error('a defect')));
});
