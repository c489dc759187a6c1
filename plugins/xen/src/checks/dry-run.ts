/**
 * XAPI's own judgement. `VM.assert_can_migrate` connects from the source's coordinator to the destination, so before there is a tunnel
 * it can be had only where that one reaches it without a gateway; `perform` has it again over the route. For a move by `VM.pool_migrate`
 * there is `VM.assert_can_boot_here`, which needs no connection.
 */
import { blocker, type Finding, note, warning } from '@lmas/plugin-api';
import { isFault, remedyOf, toPluginError, type XapiFault } from '../errors.ts';
import { dryRunParams, usesPoolMigrate } from '../migration/call.ts';
import { askCanSend, assertCanRunThere } from '../migration/dry-run.ts';
import { receiveMapSchema } from '../records.ts';
import type { CheckContext } from './types.ts';

export async function checkDryRun(context: CheckContext): Promise<Finding[]> {
  const { plan, request } = context;
  if (plan.host === undefined || plan.network === undefined) return [];
  if (usesPoolMigrate(plan, request)) return await verdictOf(askCanRun(context, plan.host.ref));
  if (!request.tunnelled) return await verdictOf(askStraight(context, plan.host.ref, plan.network));
  return [
    note(
      'DRY_RUN_LATER',
      'XAPI’s own dry run is made once the tunnel is up, before anything moves.',
      'Check a direct migration (transport: direct) to have it now, if the hosts reach each other.',
    ),
  ];
}

const askCanRun = ({ ends, plan, request, signal }: CheckContext, host: string): Promise<void> =>
  assertCanRunThere(ends.source.client, plan.vm.ref, host, request, { signal });

async function askStraight(
  { ends: { source, destination }, plan, request, signal }: CheckContext,
  host: string,
  network: string,
): Promise<void> {
  const params = [host, network, {}];
  const received = await destination.client.call('host.migrate_receive', params, receiveMapSchema, { signal });
  const session = received.session_id;
  try {
    await askCanSend(source.client, dryRunParams(plan, received, request), session, { signal });
  } finally {
    if (session !== undefined) await destination.client.logOut(session);
  }
}

async function verdictOf(asking: Promise<void>): Promise<Finding[]> {
  try {
    await asking;
    return [];
  } catch (error) {
    if (isFault(error)) return [verdict(error)];
    return [warning('DRY_RUN_NOT_POSSIBLE', toPluginError(error, 'the dry run').message, 'Try the check again.')];
  }
}

/** XAPI's name is the finding's code, so that it can be looked up. */
function verdict(error: XapiFault): Finding {
  return blocker(
    error.code,
    `XAPI refuses: ${error.message}.`,
    remedyOf(error) ?? 'See the meaning of this code in the documentation of XenServer or XCP-ng.',
  );
}
