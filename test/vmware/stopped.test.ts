/** A process that is stopped while a vCenter is silent: what it still has in its hands it brings to an end before its Redis goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { VM } from '../compliance/vmware-world.ts';
import { alpha, beta } from '../lab/vsphere/two-vcenters.ts';
import { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { Api, startInProcess, temporaryDirectory } from '../workflow/harness.ts';
import { orchestrate } from './orchestrated.ts';

test('a call whose caller was cut off while its session is ended at a silent vCenter is in the audit log', async () => {
  await using directory = await temporaryDirectory();
  await using source = await LocalVcenter.start(alpha([VM]));
  await using destination = await LocalVcenter.start(beta());
  const stand = await orchestrate(directory.path, { a: source, b: destination });
  for (const method of ['CreateContainerView', 'Logout'])
    source.endpoint.faults.add({ method, effect: { kind: 'hang', done: false } });
  const cutOff = assert.rejects(stand.api.call('POST', '/v1/endpoints/vc-a/test'), TypeError);
  while (!source.endpoint.calls.includes('CreateContainerView')) await delay(10);
  await stand[Symbol.asyncDispose]();
  await cutOff;

  const next = await startInProcess(directory.path);
  try {
    const { items } = await (await Api.of(next)).must<{ items: { operation: string }[] }>('GET', '/v1/audit');
    assert.equal(items.filter(({ operation }) => operation === 'testEndpoint').length, 1, JSON.stringify(items));
  } finally {
    await next.stop();
  }
});
