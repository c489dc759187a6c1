/**
 * Whether the VMs that a plan sends to an endpoint fit there together: each check of a migration compares its own VM with what is free
 * now. What leaves an endpoint makes room for later waves, not for its own, whose VMs move at the same time. Pure.
 */
import type { PlanBody, PlanItem } from './record.ts';
import { hasAnswered, type Survey } from './survey.ts';

export const SHORT_TOGETHER = 'MEMORY_SHORT_TOGETHER';

type Finding = PlanItem['findings'][number];

/** They give each VM memory of the host's own, and start none without. */
const NEVER_OVERCOMMIT: readonly string[] = ['xen', 'xl'];

/** The items, in the order in which they move, each that waits and does not fit with a finding that says so. */
export function withMemoryFindings(
  items: readonly PlanItem[],
  { memory }: Pick<PlanBody, 'memory'>,
  { inventories }: Pick<Survey, 'inventories'>,
): PlanItem[] {
  const free = new Map<string, number>();
  for (const [id, inventory] of inventories) {
    if (hasAnswered(inventory)) free.set(id, inventory.host.memoryFreeBytes);
  }
  const sent = new Map<string, number>();
  const count = (counts: Map<string, number>, endpoint: string, bytes: number): void =>
    void counts.set(endpoint, (counts.get(endpoint) ?? 0) + bytes);
  const told: PlanItem[] = [];
  for (const [, wave = []] of Map.groupBy(items, ({ wave }) => wave)) {
    const leaving = new Map<string, number>();
    for (const item of wave) {
      const { endpoint } = item.destination;
      const room = free.get(endpoint);
      const findings = item.findings.filter(({ code }) => code !== SHORT_TOGETHER);
      // One that moves powered off takes none there, and leaves none behind.
      if (item.state !== 'waiting' || item.powerState === 'off' || room === undefined) {
        told.push(item);
        continue;
      }
      const together = (sent.get(endpoint) ?? 0) + item.memoryBytes;
      const severity = memory === 'check' || NEVER_OVERCOMMIT.includes(item.plugin) ? 'blocker' : 'warning';
      const isShort = together > room;
      told.push({ ...item, findings: isShort ? [...findings, short(item, { severity, together, room })] : findings });
      if (isShort && severity === 'blocker') continue; // it does not move, and one that is smaller may still fit
      sent.set(endpoint, together);
      count(leaving, item.source.endpoint, item.memoryBytes);
    }
    for (const [endpoint, bytes] of leaving) if (free.has(endpoint)) count(free, endpoint, bytes);
  }
  return told;
}

function short(
  { vm, destination: { endpoint } }: PlanItem,
  { severity, together, room }: { severity: Finding['severity']; together: number; room: number },
): Finding {
  const mib = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  return {
    severity,
    code: SHORT_TOGETHER,
    message: `With ${vm.name} this plan sends VMs of ${mib(together)} to ${endpoint}, where ${mib(room)} are free.`,
    remedy:
      severity === 'blocker'
        ? 'Send some of them elsewhere, make room there, or, where the hypervisor can, say `memory: overcommit`.'
        : 'Send some of them elsewhere, or make room there: a host that runs out of memory may end VMs.',
  };
}
