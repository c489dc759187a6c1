/**
 * Two gateways are put in place and joined. The resource is one gateway; `create` and `release` stand side by side, and
 * a recovery uses `attachTunnel` for gateways that an earlier run made.
 */

import type { ProbeResult } from '@lmas/gateway-api';
import { LmasError } from '../../errors.ts';
import type { Gateway, GatewayAddress } from '../../gateways/gateway.ts';
import { LeaseKeeper } from '../../gateways/lease-keeper.ts';
import { closeEnd, type GatewaySite, Tunnel, type TunnelEnd } from '../../gateways/tunnel.ts';
import { lossPctOf, measurementOf } from '../../links/measurement.ts';
import { ENDS, type End } from '../../migrations/record.ts';
import { inSpan, SpanKind, tracedCalls } from '../../tracing/spans.ts';
import type { Run } from '../run.ts';
import { currentShare } from '../share.ts';
import type { Tools } from '../tools.ts';

type Waiting = { readonly signal: AbortSignal };

const addressOf = (run: Run, end: End): GatewayAddress => ({ site: run.migration[end].site, owner: run.id, end });

const spanOf = ({ site, end, owner }: GatewayAddress) => ({
  kind: SpanKind.CLIENT,
  attributes: { 'lmas.site': site, 'lmas.gateway.end': end, 'lmas.migration.id': owner },
});

/** Asked every second, or waited for to the end: nothing to make spans of. */
const HOUSEKEEPING: ReadonlySet<string> = new Set(['status', 'renewLease', 'gone']);

type Kept = Pick<TunnelEnd, 'gateway' | 'lease'>;
const keep = (run: Run, tools: Tools, gateway: Gateway): Kept => ({
  gateway: tracedCalls(gateway, 'gateway', spanOf(gateway.address).attributes, { except: HOUSEKEEPING }),
  lease: new LeaseKeeper(gateway, tools.settings.gatewayLeaseMs, run.log),
});

/** Starts one; its lease is kept from then on, however long the other one takes to be uploaded. */
export async function createGateway(run: Run, tools: Tools, end: End, { signal }: Waiting): Promise<Kept> {
  const address = addressOf(run, end);
  await run.journal.intend({ kind: 'gateway', end, site: address.site });
  await run.assertCurrent();
  const gateway = await inSpan('gateway start', spanOf(address), () =>
    tools.gateways.start(address, run.token, { signal }),
  );
  return keep(run, tools, gateway);
}

/** One with open streams is left alone while nobody knows where the VM is: the streams may be all it has. */
export async function releaseGateway(run: Run, tools: Tools, end: End, { signal }: Waiting): Promise<void> {
  const { where } = run.migration;
  const sparing = where === 'both' || where === 'unknown';
  const address = addressOf(run, end);
  await inSpan('gateway remove', spanOf(address), () => tools.gateways.remove(address, run.token, { signal, sparing }));
}

/** Whatever became of the gateway that raised it. */
export async function releaseBarrier(run: Run, tools: Tools, end: End, { signal }: Waiting): Promise<void> {
  const address = addressOf(run, end);
  await inSpan('barrier remove', spanOf(address), () => tools.gateways.removeBarrier(address, run.token, { signal }));
}

export async function provisionTunnel(run: Run, tools: Tools, { signal }: Waiting): Promise<Tunnel> {
  const sites = await gatewaySites(run, tools);
  const started = await Promise.allSettled(ENDS.map((end) => createGateway(run, tools, end, { signal })));
  const [source, destination] = started;
  if (source?.status !== 'fulfilled' || destination?.status !== 'fulfilled') {
    await Promise.allSettled(started.flatMap((end) => (end.status === 'fulfilled' ? [closeEnd(end.value)] : [])));
    throw started.find((end) => end.status === 'rejected')?.reason;
  }
  const tunnel = assemble(run, sites, source.value, destination.value);
  try {
    const { subflows, compression } = run.migration.request.tunnel;
    const bandwidthBytesPerSec = await currentShare(run, tools);
    await run.assertCurrent();
    const { tunnelGraceMs: graceMs } = tools.settings;
    await tunnel.join({ subflows, compression, bandwidthBytesPerSec, graceMs }, { signal });
    // What a limit lets through is not what the link carries: noted as that, it would spoil what is predicted later.
    const isLimited = bandwidthBytesPerSec !== null;
    tunnel.warmUp(tools.settings.warmUpMs, async (probe) => {
      if (!isLimited) await noteLink(run, tools, probe);
    });
    return tunnel;
  } catch (error) {
    await tunnel.close();
    throw error;
  }
}

async function noteLink(run: Run, tools: Tools, probe: ProbeResult): Promise<void> {
  const [source, destination] = [run.migration.source.site, run.migration.destination.site];
  const lossPct = lossPctOf(probe);
  await tools.links.note(measurementOf({ source, destination, lossPct, ...probe }, 'migration'));
}

/** Finds the gateways of an earlier run and keeps them alive; `undefined` when they are not both there. */
export async function attachTunnel(run: Run, tools: Tools, { signal }: Waiting): Promise<Tunnel | undefined> {
  const sites = await gatewaySites(run, tools);
  const found = await Promise.allSettled(
    ENDS.map((end) => tools.gateways.attach(addressOf(run, end), run.token, { signal })),
  );
  const [source, destination] = found.map((end) => (end.status === 'fulfilled' ? end.value : undefined));
  if (source === undefined || destination === undefined) {
    await Promise.allSettled([source?.close(), destination?.close()]);
    return undefined;
  }
  return assemble(run, sites, keep(run, tools, source), keep(run, tools, destination));
}

function assemble(run: Run, sites: Record<End, GatewaySite>, source: Kept, destination: Kept): Tunnel {
  return new Tunnel(
    { source: { ...source, site: sites.source }, destination: { ...destination, site: sites.destination } },
    run.migration.request.tunnel.suite,
    run.log,
  );
}

async function gatewaySites(run: Run, tools: Tools): Promise<Record<End, GatewaySite>> {
  const [source, destination] = await Promise.all(
    ENDS.map(async (end) => {
      const { gateway } = await tools.sites.get(run.migration[end].site);
      if (gateway === null)
        throw new LmasError('NO_GATEWAY', `Site ${run.migration[end].site} has no gateway machine.`);
      return gateway;
    }),
  );
  if (source === undefined || destination === undefined) throw new LmasError('NO_GATEWAY');
  return { source, destination };
}
