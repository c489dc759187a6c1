// Counting running copies of one VM, all the while, in two independent ways:
//   - libvirt's status files of both hosts, read every few milliseconds (cheap: no call into libvirt, nothing it could wait for);
//   - the guest's own heartbeats, heard outside by the witness: a second copy would repeat a number (heartbeats.ts), however short it lived.

import { type HeartbeatReport, readHeartbeats, reportOf, witnessPosition } from './heartbeats.ts';
import type { SiteName } from './names.ts';
import type { LabVms } from './vms.ts';

export interface SamplerReport {
  /** How often both hosts were looked at. */
  samples: number;
  /** The most hosts that said `running` in one look; 2 whenever a heartbeat was repeated. Must never be 2. */
  maxCopies: number;
  /** Longest time (by libvirt's word) that no host ran it: switchover, as libvirt sees it. */
  longestNoneMs: number;
  /** The longest silence of the guest on the lab's clock; undefined for a guest without heartbeats. */
  downtimeMs: number | undefined;
  heartbeats: HeartbeatReport;
  /** Each change of who runs it, with its time. */
  changes: { timeMs: number; a: boolean; b: boolean }[];
}

export interface Sampler {
  /** What has been seen so far. */
  report(): SamplerReport;
  /** Ends the sampling and says what was seen. */
  stop(): SamplerReport;
}

export function startSampler(vms: LabVms, ringFile: string, uuid: string, periodMs = 25): Sampler {
  const start = witnessPosition(ringFile);
  const changes: SamplerReport['changes'] = [];
  const seen = { samples: 0, maxCopies: 0, longestNoneMs: 0 };
  let noneSince: number | undefined;
  const runs = (site: SiteName) => vms.runState(site, uuid)?.state === 'running';
  const look = () => {
    const now = performance.timeOrigin + performance.now();
    const [before, b] = [runs('a'), runs('b')];
    // We may have been put aside for long between the two: only if A still runs it after B was seen to, both did.
    const a = before && b ? runs('a') : before;
    const last = changes.at(-1);
    seen.samples++;
    seen.maxCopies = Math.max(seen.maxCopies, Number(a) + Number(b));
    if (last?.a !== a || last?.b !== b) changes.push({ timeMs: now, a, b });
    noneSince = a || b ? undefined : (noneSince ?? now);
    if (noneSince !== undefined) seen.longestNoneMs = Math.max(seen.longestNoneMs, now - noneSince);
  };
  look();
  const timer = setInterval(look, periodMs);
  const report = (): SamplerReport => {
    const heartbeats = reportOf(readHeartbeats(ringFile, uuid, start).heartbeats);
    const maxCopies = heartbeats.repeated > 0 ? 2 : seen.maxCopies;
    return { ...seen, maxCopies, downtimeMs: heartbeats.longestGap?.ms, heartbeats, changes: [...changes] };
  };
  return {
    report,
    stop() {
      clearInterval(timer);
      look();
      return report();
    },
  };
}
