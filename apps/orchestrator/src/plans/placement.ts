/**
 * Which endpoint a VM goes to: the one that is named, or of a site the one that has most memory free, with what was
 * placed there before taken into account. Pure.
 */
import type { VmSummary } from '@lmas/plugin-api';
import type { Endpoint } from '../sites/sites.ts';
import type { VmSelector } from './record.ts';
import { hasAnswered, type Survey } from './survey.ts';

export type Placed =
  | { readonly endpoint: string; readonly issue?: undefined }
  | { readonly endpoint?: undefined; readonly issue: PlacementIssue };

export interface PlacementIssue {
  readonly message: string;
  readonly passes: boolean;
  /** It is about the endpoint, and the same for each VM that goes there. */
  readonly ofEndpoint?: boolean;
}

export class Placement {
  readonly #survey: Survey;
  /** By endpoint: what is left of its memory. */
  readonly #freeBytes = new Map<string, number>();

  readonly #allowCordoned: boolean;

  /** @param allowCordoned endpoints that are named count though they take no VMs; of a site, those are never chosen */
  constructor(survey: Survey, { allowCordoned }: { allowCordoned: boolean }) {
    this.#survey = survey;
    this.#allowCordoned = allowCordoned;
    for (const [id, inventory] of survey.inventories) {
      if (hasAnswered(inventory)) this.#freeBytes.set(id, inventory.host.memoryFreeBytes);
    }
  }

  place(vm: VmSummary, source: Endpoint, destination: VmSelector['destination']): Placed {
    const placed =
      'endpoint' in destination
        ? this.#named(source, destination.endpoint)
        : this.#within(vm, source, destination.site);
    if (placed.endpoint !== undefined) {
      this.#freeBytes.set(placed.endpoint, (this.#freeBytes.get(placed.endpoint) ?? 0) - vm.memoryBytes);
    }
    return placed;
  }

  #named(source: Endpoint, id: string): Placed {
    const endpoint = this.#survey.endpoints.get(id);
    if (endpoint === undefined) return refused(`there is no endpoint ${id}`);
    if (id === source.id) return refused(`${id} is where it runs`);
    if (endpoint.plugin !== source.plugin)
      return refused(`${source.id} is ${source.plugin}, ${id} is ${endpoint.plugin}`);
    if (endpoint.cordonedAt !== null && !this.#allowCordoned) {
      const message = `${id} takes no VMs: it is cordoned (lmas endpoint uncordon ${id}, or allowCordoned in the plan's migration)`;
      return { issue: { message, passes: true, ofEndpoint: true } };
    }
    const inventory = this.#survey.inventories.get(id);
    if (!hasAnswered(inventory))
      return { issue: { message: `${id} cannot be asked: ${inventory?.unanswered ?? 'it was not'}`, passes: true } };
    return { endpoint: id };
  }

  #within({ name, memoryBytes }: VmSummary, source: Endpoint, site: string): Placed {
    if (!this.#survey.sites.has(site)) return refused(`there is no site ${site}`);
    const others = [...this.#survey.endpoints.values()].filter(
      (endpoint) => endpoint.site === site && endpoint.plugin === source.plugin && endpoint.id !== source.id,
    );
    if (others.length === 0) return refused(`site ${site} has no other endpoint of plugin ${source.plugin}`);
    const candidates = others.filter(({ cordonedAt }) => cordonedAt === null);
    const cordoned = others.filter((endpoint) => !candidates.includes(endpoint)).map(({ id }) => id);
    const [best] = candidates
      .map(({ id }) => ({ id, freeBytes: this.#freeBytes.get(id) ?? -1 }))
      .filter(({ freeBytes }) => freeBytes >= memoryBytes)
      .sort((a, b) => b.freeBytes - a.freeBytes);
    if (best !== undefined) return { endpoint: best.id };
    const silent = candidates.filter(({ id }) => !this.#freeBytes.has(id)).map(({ id }) => id);
    const aside = [
      silent.length === 0 ? '' : `; ${silent.join(', ')} cannot be asked`,
      cordoned.length === 0 ? '' : `; ${cordoned.join(', ')} ${cordoned.length === 1 ? 'is' : 'are'} cordoned`,
    ].join('');
    const message = `no endpoint of site ${site} has ${Math.ceil(memoryBytes / 2 ** 20)} MiB free for ${name}${aside}`;
    return { issue: { message, passes: true } };
  }
}

const refused = (message: string): Placed => ({ issue: { message, passes: false } });
