/**
 * The last look before the move is triggered, minutes after the checks perhaps: whether the VM is still at the host that was checked, and
 * whether what the two hosts are going to send still passes the gateways, between the very addresses that these intercept. Changes nothing.
 */
import { isDeepStrictEqual } from 'node:util';
import { PluginError } from '@lmas/plugin-api';
import type { Options } from '../client.ts';
import { vmSchema } from '../records.ts';
import { readKernelNetwork, refreshNetwork } from '../routes/host-network.ts';
import { missingWays, waysOfPlan } from '../routes/temporary.ts';
import { flowsOf } from '../routes/ways.ts';
import { sameRef } from '../wire/data-objects.ts';
import type { Ends, Plan } from './plan.ts';
import { movedSince } from './to-be-had.ts';

const placeSchema = vmSchema.pick({ 'runtime.host': true });

/** @throws PluginError BUSY, INCOMPATIBLE when it is not as it was checked */
export async function lookOnceMore(ends: Ends, plan: Plan, options: Options): Promise<void> {
  const { networks, sourceHost, host } = plan;
  if (plan.request.disksAlone === true) return; // which host runs it makes no difference
  const now = (await ends.source.vm(plan.request.vm.id, placeSchema, options))?.record['runtime.host'];
  if (sourceHost !== undefined && !sameRef(now, sourceHost.ref)) throw movedSince(sourceHost, now?.value);
  if (!plan.request.tunnelled || networks === undefined || sourceHost === undefined || host === undefined) return;
  await Promise.all([
    refreshNetwork(ends.source.client, sourceHost, options),
    refreshNetwork(ends.destination.client, host, options),
  ]);
  const [source, destination] = await Promise.all([
    readKernelNetwork(ends.source.client, sourceHost, options),
    readKernelNetwork(ends.destination.client, host, options),
  ]);
  const seen = { source, destination };
  if (!isDeepStrictEqual(flowsOf(seen), flowsOf(networks))) {
    throw changed('The hosts have other vMotion or provisioning addresses than those that the gateways intercept.');
  }
  const [way] = missingWays(waysOfPlan(ends, { ...plan, networks: seen }));
  if (way === undefined) return;
  const { name } = seen[way.end].host.record;
  throw changed(`Packets from ${name} to ${way.peer} do not pass the gateway ${way.gateway ?? 'there'} any more.`);
}

const changed = (message: string): PluginError =>
  new PluginError('INCOMPATIBLE', `${message} It was otherwise when that was set or checked.`, {
    remedy: 'Find out who changes the hosts’ network, then submit the migration again.',
  });
