/**
 * vSphere's own judgement, CheckRelocate_Task, with the very argument that will move the VM. A task that succeeds may have errors in
 * its result; and no errors are no promise.
 */
import { blocker, type Finding, note, warning } from '@lmas/plugin-api';
import type { VimClient } from '../client.ts';
import { isFault, toPluginError, VimFault } from '../errors.ts';
import { relocateSpec } from '../migration/relocate-spec.ts';
import { followTask } from '../migration/task.ts';
import { checkResultsSchema, type LocalizedFault, refSchema } from '../records.ts';
import type { CheckContext } from './types.ts';

const NOT_THERE = (): Finding =>
  note(
    'NATIVE_CHECK_MISSING',
    'This vCenter has no check of its own for a relocation.',
    'Its refusals, if any, come with the move.',
  );

export async function checkNative({ ends, plan, signal }: CheckContext): Promise<Finding[]> {
  const { client } = ends.source;
  const checker = client.content.vmProvisioningChecker;
  if (plan.host === undefined || plan.gaps.length > 0) return []; // there is nothing to be asked yet
  if (checker === undefined) return [NOT_THERE()];
  try {
    const params = { vm: plan.vm.ref, spec: relocateSpec(ends, plan) };
    const task = await client.call(checker, 'CheckRelocate_Task', params, refSchema, { signal });
    const results = checkResultsSchema.parse(await followTask(client, task, { signal }));
    return results.flatMap(({ error, warning: warnings }) => [
      ...error.map((fault) => verdict(client, blocker, fault)),
      ...warnings.map((fault) => verdict(client, warning, fault)),
    ]);
  } catch (error) {
    if (isFault(error, 'MethodNotFound')) return [NOT_THERE()];
    if (!isFault(error)) throw error;
    return [
      verdict(client, blocker, { fault: { ...error.detail, _typeName: error.fault }, localizedMessage: error.message }),
    ];
  }
}

/** vSphere's name is the finding's code, so that it can be looked up. */
function verdict(client: VimClient, finding: typeof blocker, { fault, localizedMessage }: LocalizedFault): Finding {
  const { _typeName: name } = fault;
  const said = client.discreet(new VimFault(name, localizedMessage ?? '', fault));
  const { message, remedy } = toPluginError(said, 'vSphere says');
  return finding(name, message, remedy ?? 'See the meaning of this fault in the vSphere Web Services API.');
}
