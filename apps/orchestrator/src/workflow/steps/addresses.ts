/**
 * A hypervisor that is told an address and fixes the ports itself has that address for itself while its migration lasts. How many
 * the gateway machine at the source has is known; one that finds too few of them free waits in the queue. Nothing is
 * at any machine yet: whether an address is free in fact, the gateway says when it listens (gateways/redirected-routes.ts).
 */
import type { CheckReport } from '@lmas/plugin-api';
import { addressesNeed } from '../../admission/groups.ts';
import { LmasError } from '../../errors.ts';
import { addressesOf } from '../../sites/addresses.ts';
import type { Run } from '../run.ts';
import type { Tools } from '../tools.ts';
import { waitInQueue } from './wait-in-queue.ts';

/**
 * Resolves when the migration has its addresses.
 * @throws LmasError CHECK_FAILED when there are not so many; and when it has been handed back: the run is lost then
 */
export async function takeAddresses(
  run: Run,
  tools: Pick<Tools, 'sites'>,
  { gatewayAddresses: count = 0 }: CheckReport,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  if (count === 0 || run.migration.request.transport !== 'tunnel') return;
  const { site } = run.migration.source;
  for (let limit = await countAddresses(tools, site); limit !== null; ) {
    if (count > limit) throw tooFew(count, site, limit);
    const holder = await run.takeAddresses({ count, limit });
    // What was counted is the limit for everybody from now on: so it must not be what was there before somebody changed the site.
    const counted = limit;
    limit = await countAddresses(tools, site);
    if (limit !== counted) continue;
    if (holder === undefined) return;
    const why = `both need addresses of their own at the gateway machine of ${site}, which has ${limit}`;
    await waitInQueue(run, addressesNeed(count), { holder, reason: 'addresses', why }, { signal });
  }
}

/** `null`: there is no machine, as provisioning says. */
async function countAddresses({ sites }: Pick<Tools, 'sites'>, site: string): Promise<number | null> {
  const { gateway } = await sites.get(site);
  return gateway === null ? null : addressesOf(gateway).length;
}

const tooFew = (count: number, site: string, limit: number): LmasError =>
  new LmasError('CHECK_FAILED', `It needs ${count} addresses of the gateway machine of ${site}, which has ${limit}.`, {
    remedy: 'Give the machine one more, and name it in `moreHypervisorAddresses` of the site.',
  });
