/**
 * vSphere's own judgement, CheckRelocate_Task, with the very argument that will move the VM. A task that succeeds may have errors in
 * its result; and no errors are no promise.
 */
import { blocker, type Finding, note, pluginErrorCode, warning } from '@lmas/plugin-api';
import type { VimClient } from '../client.ts';
import { isFault, toPluginError, VimFault, VimSilence } from '../errors.ts';
import { relocateSpec } from '../migration/relocate-spec.ts';
import { followTask } from '../migration/task.ts';
import { checkResultsSchema, type LocalizedFault, refSchema } from '../records.ts';
import type { CheckContext } from './types.ts';

/** The check takes seconds; how it is may be told late, but who waits for the other findings does not wait for that. */
const SILENCE_LIMIT_MS = 10_000;

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
    const results = checkResultsSchema.parse(
      await followTask(client, task, { signal, silenceLimitMs: SILENCE_LIMIT_MS }),
    );
    return results.flatMap(({ error, warning: warnings }) => [
      ...error.map((fault) => verdict(client, blocker, fault)),
      ...warnings.map((fault) => verdict(client, warning, fault)),
    ]);
  } catch (error) {
    if (isFault(error, 'MethodNotFound')) return [NOT_THERE()];
    if (isUntold(client, error)) return [notTold(toPluginError(error, 'vSphere’s own check').message)];
    if (!isFault(error)) throw error;
    return [
      verdict(client, blocker, { fault: { ...error.detail, _typeName: error.fault }, localizedMessage: error.message }),
    ];
  }
}

/** The vCenter answers, and not how its check has ended; one that is silent, or gone, is told of by everything else as well. */
const isUntold = ({ closed }: VimClient, error: unknown): boolean =>
  pluginErrorCode(error) === 'CONNECTION_LOST' && !closed.aborted && !((error as Error).cause instanceof VimSilence);

const notTold = (why: string): Finding =>
  warning(
    'NATIVE_CHECK_NOT_TOLD',
    `vSphere’s own check was begun, and the vCenter does not tell how it ended: ${why}`,
    'See its recent tasks, and check again. Its refusals, if any, come with the move.',
  );

/** vSphere's name is the finding's code, so that it can be looked up. */
function verdict(client: VimClient, finding: typeof blocker, { fault, localizedMessage }: LocalizedFault): Finding {
  const { _typeName: name } = fault;
  const said = client.discreet(new VimFault(name, localizedMessage ?? '', fault));
  const { message, remedy } = toPluginError(said, 'vSphere says');
  return finding(name, message, remedy ?? `Look up ${name} in the vSphere Web Services API.`);
}
