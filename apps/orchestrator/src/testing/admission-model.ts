/** The rules of admission in plain words, over plain lists: what random lives of migrations on a real Redis are held against. */
import { groupsOf, orderOf } from '../admission/groups.ts';
import type { StoredMigration } from '../migrations/record.ts';

export const isAddress = (one: string): boolean => one.startsWith('gateway-address:');

export class AdmissionModel {
  readonly waiting = new Map<string, { record: StoredMigration; lane: string }>();
  readonly running = new Map<string, { record: StoredMigration; lane: string }>();
  readonly limits = new Map<string, number>();
  paused = false;

  taken(wanted: string): number {
    return [...this.running.values()].flatMap(({ lane }) => groupsOf(lane).filter((one) => one === wanted)).length;
  }
  room(group: string): number {
    return (this.limits.get(group) ?? Number.POSITIVE_INFINITY) - this.taken(group);
  }
  hasRoom(lane: string): boolean {
    return groupsOf(lane).every((one) => isAddress(one) || this.room(one) > 0);
  }
  /** Or asks for more than there are, which its run refuses. */
  hasAddresses(lane: string): boolean {
    const wanted = groupsOf(lane).filter(isAddress);
    const waitsInVain = wanted.some((one) => wanted.length > (this.limits.get(one) ?? wanted.length));
    return waitsInVain || wanted.every((one) => this.room(one) >= wanted.length);
  }
  /** Two between the same hosts go together only when both are direct. */
  agree(one: string, other: string): boolean {
    const [a, b] = [one, other].map((lane) => /host-pair(-direct)?:(\S+)/.exec(lane));
    return a?.[2] === undefined || a[2] !== b?.[2] || (a[1] !== undefined && b[1] !== undefined);
  }
  isPairFree(lane: string): boolean {
    return [...this.running.values()].every((other) => this.agree(lane, other.lane));
  }
  admit(room: number): string[] {
    const started: string[] = [];
    const sorted = [...this.waiting].sort(([, a], [, b]) => orderOf(a.record.migration) - orderOf(b.record.migration));
    const [lackingPair, lackingAddresses]: [string[], string[]] = [[], []];
    /** Lanes of which one could not start. */
    const done = new Set<string>();
    for (const [id, entry] of sorted) {
      const { lane } = entry;
      if (this.paused || started.length >= room || done.has(lane)) continue;
      done.add(lane);
      if (!this.hasRoom(lane)) continue;
      if (!this.isPairFree(lane)) lackingPair.push(lane);
      else if (!this.hasAddresses(lane)) lackingAddresses.push(lane);
      else if (this.passes(lane, lackingPair, lackingAddresses)) continue;
      else {
        this.waiting.delete(id);
        this.running.set(id, entry);
        started.push(id);
        done.delete(lane);
      }
    }
    return started;
  }
  /** Whether it would take from an older one what is all that one lacks. */
  passes(lane: string, lackingPair: readonly string[], lackingAddresses: readonly string[]): boolean {
    const [address] = groupsOf(lane).filter(isAddress);
    const wantsToo = (other: string) => address !== undefined && groupsOf(other).includes(address);
    return (
      lackingPair.some((other) => !this.agree(lane, other) && this.hasRoom(other)) ||
      lackingAddresses.some((other) => wantsToo(other) && this.hasRoom(other))
    );
  }
}
