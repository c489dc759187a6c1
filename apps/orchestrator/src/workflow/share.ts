/**
 * Keeps a running migration at its share of the bandwidth, from the moment at which it moves.
 *
 * Where both could limit, the gateways do: they see all streams of the migration together, behind them the rate is the
 * WAN's and not what a hypervisor believes, and a new limit holds within a round trip. The hypervisor is told only where
 * there are no gateways.
 */
import type { MigrationDriver } from '@lmas/plugin-api';
import type { Tunnel } from '../gateways/tunnel.ts';
import type { Throttle } from '../links/bandwidth-keeper.ts';
import type { Run } from './run.ts';
import type { Tools } from './tools.ts';

/** What it may use now, noted in the record. */
export async function currentShare(run: Run, tools: Tools): Promise<number | null> {
  const bytesPerSec = await tools.bandwidth.shareOf(run.id);
  await noteShare(run, bytesPerSec);
  return bytesPerSec;
}

/** Begin it with the first sign of progress: a hypervisor cannot limit what has not begun. */
export function keepShare(
  run: Run,
  tools: Tools,
  tunnel: Tunnel | undefined,
  driver: Pick<MigrationDriver, 'setBandwidth'>,
): Disposable {
  const limiter = tunnel ?? driver;
  const throttle: Throttle = async (bytesPerSec, options) => {
    await run.assertCurrent();
    await limiter.setBandwidth(bytesPerSec, options);
    run.log.info({ bytesPerSec, by: tunnel === undefined ? 'hypervisor' : 'gateways' }, 'share of the bandwidth');
    await noteShare(run, bytesPerSec);
  };
  // What an earlier run told is not sure.
  return tools.bandwidth.keep(run.id, throttle, run.isRecovery ? undefined : run.migration.bandwidthShareBytesPerSec);
}

async function noteShare(run: Run, bytesPerSec: number | null): Promise<void> {
  if (run.migration.bandwidthShareBytesPerSec === bytesPerSec) return;
  await run.update(({ migration }) => {
    migration.bandwidthShareBytesPerSec = bytesPerSec;
  });
}
