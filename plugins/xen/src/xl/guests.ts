/** The guests of a host, made of what xl prints, and what the orchestrator wants to know of each. Pure. */
import type { Presence, VmSummary } from '@lmas/plugin-api';
import type { Description } from './client.ts';
import { type Domain, GIVEN_AWAY, type GuestConfig, INCOMING, readConfigs, readList } from './listing.ts';

/** A guest and what is known of it. */
export interface Guest {
  readonly domain: Domain;
  /** `null`: xl keeps no configuration of it, and would not migrate it. */
  readonly config: GuestConfig | null;
  /** The same as xl prints it, without passwords. */
  readonly definition: string | null;
}

/** Dom0 itself is no guest, and has id 0. */
export function guestsOf({ list, configs }: Description): readonly Guest[] {
  const known = readConfigs(configs);
  return readList(list)
    .filter(({ domid, dying }) => domid !== 0 && !dying)
    .map((domain) => {
      const entry = known.get(domain.domid);
      return { domain, config: entry?.config ?? null, definition: entry?.text ?? null };
    });
}

export const bridgesOf = ({ config }: Guest): readonly string[] =>
  (config?.nics ?? []).flatMap(({ bridge }) => bridge ?? []);

/** What one domain is, whatever else is known of the migration. */
export function presenceOf({ name, paused, suspended, ended, dying }: Domain): Presence {
  if (dying) return 'absent';
  if (ended) return 'stopped';
  if (!paused && !suspended) return 'running';
  return name.endsWith(INCOMING) ? 'incoming' : 'paused';
}

/** The guest's own name, whatever a migration made of it. */
export const plainName = (name: string): string =>
  [INCOMING, GIVEN_AWAY].reduce((rest, end) => (rest.endsWith(end) ? rest.slice(0, -end.length) : rest), name);

export function summaryOf(guest: Guest): VmSummary {
  const { domain, config } = guest;
  const disks = (config?.disks ?? []).filter(({ is_cdrom: disc }) => !disc);
  return {
    id: domain.uuid,
    name: plainName(domain.name),
    presence: presenceOf(domain),
    memoryBytes: domain.memoryMib * 1024 ** 2,
    vcpus: domain.vcpus,
    disks: disks.map(({ vdev, pdev_path: path, readwrite }) => ({
      ...{ name: vdev, location: path ?? null, sizeBytes: null, readOnly: !readwrite },
    })),
    networks: [...new Set(bridgesOf(guest))],
    managedBy: null,
  };
}
