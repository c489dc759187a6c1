/**
 * XAPI's own judgement, `VM.assert_can_migrate`. It connects from the source host to the destination, so before there is a
 * tunnel it can be had only where the hosts reach each other straight; `perform` has it again over the route.
 */
import { blocker, type Finding, note, warning } from '@lmas/plugin-api';
import { isFault, toPluginError, withoutSecret, type XapiFault } from '../errors.ts';
import { nothingSchema, receiveMapSchema } from '../records.ts';
import type { CheckContext } from './types.ts';

const DRY_RUN_TIMEOUT_MS = 120_000;

export async function checkDryRun({ ends, plan, request, signal }: CheckContext): Promise<Finding[]> {
  if (request.tunnelled) {
    return [
      note(
        'DRY_RUN_LATER',
        'XAPI’s own dry run is made once the tunnel is up, before anything moves.',
        'Check a straight migration to have it now, if the hosts reach each other.',
      ),
    ];
  }
  if (plan.host === undefined || plan.network === undefined || plan.samePool) return [];
  const { source, destination } = ends;
  const received = await destination.client.call(
    'host.migrate_receive',
    [plan.host.ref, plan.network, {}],
    receiveMapSchema,
    { signal },
  );
  try {
    const params = [
      plan.vm.ref,
      received,
      true,
      plan.vdiMap,
      plan.vifMap,
      request.options.force ? { force: 'true' } : {},
    ];
    await source.client.call('VM.assert_can_migrate', params, nothingSchema, { signal, timeoutMs: DRY_RUN_TIMEOUT_MS });
    return [];
  } catch (thrown) {
    const error = withoutSecret(thrown, received.session_id);
    if (isFault(error)) return [verdict(error)];
    return [warning('DRY_RUN_NOT_POSSIBLE', toPluginError(error, 'the dry run').message, 'Try the check again.')];
  } finally {
    const session = received.session_id;
    if (session !== undefined) await destination.client.logOut(session);
  }
}

/** XAPI's name is the finding's code, so that it can be looked up. */
function verdict(error: XapiFault): Finding {
  return blocker(
    error.code,
    `XAPI refuses: ${error.message}.`,
    'See the meaning of this code in the documentation of XenServer or XCP-ng.',
  );
}
