// Counting running copies of one VM, all the while, in two independent ways:
//   - libvirt's status files of both hosts, read every few milliseconds (cheap: no call into libvirt, nothing it could wait for);
//   - the guest's own heartbeats, heard outside by the witness: a second copy would repeat a number (heartbeats.ts), however short it lived,
//     or speak through another NIC than the VM's.

import { macOf } from './domain.ts';
import { type HeartbeatReport, readHeartbeats, reportOf, tellApart, witnessPosition } from './heartbeats.ts';
import type { SiteName } from './names.ts';
import type { LabVms } from './vms.ts';

export interface SamplerReport {
  /** How often both hosts were looked at. */
  samples: number;
  /** The most hosts that said `running` in one look. */
  maxHosts: number;
  /** The same; 2 whenever a heartbeat was repeated or came from another NIC than the VM's. Must never be 2, unless a copy was meant to run. */
  maxCopies: number;
  /** Longest time (by libvirt's word) that no host ran it: switchover, as libvirt sees it. */
  longestNoneMs: number;
  /** The longest silence of the guest on the lab's clock; undefined for a guest without heartbeats. */
  downtimeMs: number | undefined;
  /** Of the VM itself. */
  heartbeats: HeartbeatReport;
  /** Heartbeats in the VM's name that another NIC sent, at each site: those of a copy that was given one, as a drill does. */
  fromOtherNics: Record<SiteName, number>;
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
  const seen = { samples: 0, maxHosts: 0, longestNoneMs: 0 };
  let noneSince: number | undefined;
  const runs = (site: SiteName) => vms.runState(site, uuid)?.state === 'running';
  const look = () => {
    const now = performance.timeOrigin + performance.now();
    const [before, b] = [runs('a'), runs('b')];
    // We may have been put aside for long between the two: only if A still runs it after B was seen to, both did.
    const a = before && b ? runs('a') : before;
    const last = changes.at(-1);
    seen.samples++;
    seen.maxHosts = Math.max(seen.maxHosts, Number(a) + Number(b));
    if (last?.a !== a || last?.b !== b) changes.push({ timeMs: now, a, b });
    noneSince = a || b ? undefined : (noneSince ?? now);
    if (noneSince !== undefined) seen.longestNoneMs = Math.max(seen.longestNoneMs, now - noneSince);
  };
  look();
  const timer = setInterval(look, periodMs);
  const report = (): SamplerReport => {
    const { own, fromOtherNics } = tellApart(readHeartbeats(ringFile, uuid, start).heartbeats, macOf(uuid));
    const heartbeats = reportOf(own);
    const isHeardTwice = heartbeats.repeated > 0 || fromOtherNics.a + fromOtherNics.b > 0;
    const maxCopies = isHeardTwice ? 2 : seen.maxHosts;
    const downtimeMs = heartbeats.longestGap?.ms;
    return { ...seen, maxCopies, downtimeMs, heartbeats, fromOtherNics, changes: [...changes] };
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
