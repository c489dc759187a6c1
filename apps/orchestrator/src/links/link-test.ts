/**
 * Measures the link between two sites with a pair of gateways of its own, through the same ports and the same tunnel that
 * a migration would use. It owns the pair, and removes it whatever happens; its name in Redis keeps the reaper away.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import type { GatewayAddress, GatewayProvisioner } from '../gateways/gateway.ts';
import { LeaseKeeper } from '../gateways/lease-keeper.ts';
import { closeEnd, Tunnel } from '../gateways/tunnel.ts';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import type { linkTestInputSchema, linkTestSchema } from '../schemas/link.ts';
import { type EquippedSite, requireGateways, type SiteStore } from '../sites/sites.ts';
import type { LinkService } from './links.ts';
import { lossPctOf, measuredRate, measurementOf } from './measurement.ts';

type LinkTestInput = z.output<typeof linkTestInputSchema>;
type LinkTestResult = z.infer<typeof linkTestSchema>;

export interface LinkTester {
  /** @throws LmasError SITE_NOT_FOUND, NO_GATEWAY, NO_LISTENER, TUNNEL_NOT_ESTABLISHED, GATEWAY_… */
  test(input: LinkTestInput, options: { signal: AbortSignal }): Promise<LinkTestResult>;
}

/** A test is never taken over. */
const TOKEN = 1;
const RESERVED_MS = 300_000;
const LEASE_MS = 30_000;
const REMOVE_MS = 30_000;
/** Nobody's memory is in it. */
const GRACE_MS = 30_000;
const CLOCK_TOLERANCE_MS = 1_000;
const CLEARLY_LOSSY_PCT = 0.5;

export function createLinkTester(
  redis: Redis,
  sites: SiteStore,
  gateways: GatewayProvisioner,
  links: Pick<LinkService, 'note'>,
  log: Logger,
): LinkTester {
  return {
    async test(input, { signal }) {
      const both = await Promise.all([sites.get(input.source), sites.get(input.destination)]);
      const [source, destination] = requireGateways(both);
      const owner = `l_${randomUUID()}`;
      const addresses: GatewayAddress[] = [
        { site: source.id, owner, end: 'source' },
        { site: destination.id, owner, end: 'destination' },
      ];
      await redis.set(keys.linkTest(owner), '1', 'PX', RESERVED_MS);
      try {
        const result = await measure(input, { source, destination }, addresses, gateways, log, signal);
        await links.note(measurementOf(result, 'test'));
        return result;
      } finally {
        const removal = { signal: AbortSignal.timeout(REMOVE_MS), sparing: false };
        const removed = await Promise.allSettled(addresses.map((address) => gateways.remove(address, TOKEN, removal)));
        for (const result of removed) {
          if (result.status === 'rejected') log.warn({ err: result.reason }, 'the reaper has to remove a test gateway');
        }
        await redis.del(keys.linkTest(owner));
      }
    },
  };
}

async function measure(
  input: LinkTestInput,
  { source, destination }: { source: EquippedSite; destination: EquippedSite },
  addresses: readonly GatewayAddress[],
  gateways: GatewayProvisioner,
  log: Logger,
  signal: AbortSignal,
): Promise<LinkTestResult> {
  const started = await Promise.allSettled(
    addresses.map(async (address) => {
      const gateway = await gateways.start(address, TOKEN, { signal });
      return { gateway, lease: new LeaseKeeper(gateway, LEASE_MS, log) };
    }),
  );
  const [here, there] = started.map((end) => (end.status === 'fulfilled' ? end.value : undefined));
  if (here === undefined || there === undefined) {
    await Promise.allSettled([here, there].flatMap((end) => (end === undefined ? [] : [closeEnd(end)])));
    throw started.find((end) => end.status === 'rejected')?.reason;
  }
  await using tunnel = new Tunnel(
    { source: { ...here, site: source.gateway }, destination: { ...there, site: destination.gateway } },
    'aes-256-gcm',
    log,
  );
  // As a migration has it by default, but for the grace time.
  const options = { subflows: 'auto', compression: 'never', bandwidthBytesPerSec: null, graceMs: GRACE_MS } as const;
  const port = await tunnel.join(options, { signal });
  const probe = await here.gateway.probe(input.durationMs, { signal });
  const lossPct = lossPctOf(probe);
  return {
    source: source.id,
    destination: destination.id,
    listener: destination.gateway.listens ? destination.id : source.id,
    port,
    ...probe,
    goodputBitsPerSec: measuredRate(probe),
    lossPct,
    findings: findings(probe.clockOffsetMs, lossPct),
  };
}

function findings(clockOffsetMs: number, lossPct: number | null): LinkTestResult['findings'] {
  const found: LinkTestResult['findings'] = [];
  if (Math.abs(clockOffsetMs) > CLOCK_TOLERANCE_MS) {
    found.push({
      severity: 'warning',
      code: 'CLOCKS_DIFFER',
      message: `The clocks of the two sites differ by ${Math.round(clockOffsetMs)} ms.`,
      remedy: 'Let both synchronise with NTP: guests see the jump.',
    });
  }
  if (lossPct !== null && lossPct > CLEARLY_LOSSY_PCT) {
    found.push({
      severity: 'warning',
      code: 'LINK_LOSSY',
      message: `About ${lossPct.toFixed(1)} % of the segments were lost.`,
      remedy: 'Look for a duplex mismatch, a policer or an overloaded hop; use BBR on the gateway machines.',
    });
  }
  return found;
}
