/**
 * What hosts use now, and what they would use after moves. Pure; a projection is changed only by `move`.
 */
import type { Amounts, BalancingSettings, Observation, ObservedHost, ObservedVm } from './types.ts';
import { RESOURCES, type Resource } from './types.ts';

export type Weights = Pick<BalancingSettings, Resource>;

/** The resources that count, the heaviest first. */
export const counted = (weights: Weights): Resource[] =>
  RESOURCES.filter((resource) => weights[resource].weight > 0).sort((a, b) => weights[b].weight - weights[a].weight);

export class Projection {
  readonly #hosts: Map<string, ObservedHost>;

  constructor(hosts: Iterable<ObservedHost>) {
    this.#hosts = new Map([...hosts].map((host) => [host.endpoint, host]));
  }

  /** As it will be once what is on its way has arrived. */
  static of({ hosts, inFlight }: Observation): Projection {
    const projection = new Projection(hosts);
    for (const { vm, source, destination } of inFlight) {
      const moving = projection.host(source)?.vms.find(({ id, name }) => id === vm || name === vm);
      // At its destination already: it counts there by itself.
      if (moving === undefined) continue;
      projection.#take(source, moving);
      if (!projection.host(destination)?.vms.some(({ id }) => id === moving.id)) {
        projection.#give(destination, { ...moving, held: 'is being migrated' });
      }
    }
    return projection;
  }

  copy(): Projection {
    return new Projection(this.#hosts.values());
  }

  get endpoints(): string[] {
    return [...this.#hosts.keys()];
  }

  host(endpoint: string): ObservedHost | undefined {
    return this.#hosts.get(endpoint);
  }

  vms(endpoint: string): readonly ObservedVm[] {
    return this.#hosts.get(endpoint)?.vms ?? [];
  }

  /** 0 to 1 (or more); null: not known. */
  uses(endpoint: string): Amounts {
    const host = this.#hosts.get(endpoint);
    const share = (resource: Resource): number | null => {
      const [used, capacity] = [host?.used[resource] ?? null, host?.capacity[resource] ?? null];
      return used === null || capacity === null || capacity <= 0 ? null : used / capacity;
    };
    return { cpu: share('cpu'), memory: share('memory'), network: share('network') };
  }

  move(vms: readonly ObservedVm[], source: string, destination: string): void {
    for (const vm of vms) {
      this.#take(source, vm);
      this.#give(destination, vm);
    }
  }

  #take(endpoint: string, vm: ObservedVm): void {
    this.#change(endpoint, vm, -1, (vms) => vms.filter(({ id }) => id !== vm.id));
  }

  #give(endpoint: string, vm: ObservedVm): void {
    this.#change(endpoint, vm, 1, (vms) => [...vms, vm]);
  }

  #change(endpoint: string, vm: ObservedVm, sign: 1 | -1, vms: (before: readonly ObservedVm[]) => ObservedVm[]): void {
    const host = this.#hosts.get(endpoint);
    if (host === undefined) return;
    const changed = (resource: Resource): number | null => {
      const [used, use] = [host.used[resource], vm.use[resource]];
      return used === null || use === null ? null : Math.max(0, used + sign * use);
    };
    const used = { cpu: changed('cpu'), memory: changed('memory'), network: changed('network') };
    const free = host.memoryFreeBytes;
    const memoryFreeBytes = free === null ? null : free - sign * vm.memoryBytes;
    this.#hosts.set(endpoint, { ...host, used, memoryFreeBytes, vms: vms(host.vms) });
  }
}

/** What a host uses, weighted over the resources that count. */
export function levelOf(projection: Projection, endpoint: string, weights: Weights): number {
  const uses = projection.uses(endpoint);
  const resources = counted(weights);
  const total = resources.reduce((sum, resource) => sum + weights[resource].weight, 0);
  return resources.reduce((sum, resource) => sum + weights[resource].weight * (uses[resource] ?? 0), 0) / total;
}

/** How far hosts are apart: the standard deviation of what they use, weighted over the resources that count. */
export function spreadOf(projection: Projection, weights: Weights): number {
  const resources = counted(weights);
  let sum = 0;
  let total = 0;
  for (const resource of resources) {
    const values = projection.endpoints.flatMap((endpoint) => projection.uses(endpoint)[resource] ?? []);
    if (values.length < 2) continue;
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const variance = values.reduce((a, value) => a + (value - mean) ** 2, 0) / values.length;
    sum += weights[resource].weight * Math.sqrt(variance);
    total += weights[resource].weight;
  }
  return total === 0 ? 0 : sum / total;
}

/**
 * What moving from one host to another gains: by how much the busier of the two falls, weighted over the resources that
 * count. Negative when it only exchanges their parts, or worse.
 */
export function gainOf(
  before: Projection,
  after: Projection,
  ends: readonly [string, string],
  weights: Weights,
): number {
  let sum = 0;
  let total = 0;
  for (const resource of counted(weights)) {
    const peak = (projection: Projection) => Math.max(...ends.map((end) => projection.uses(end)[resource] ?? 0));
    sum += weights[resource].weight * (peak(before) - peak(after));
    total += weights[resource].weight;
  }
  return total === 0 ? 0 : sum / total;
}
