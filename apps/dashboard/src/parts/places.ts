/** What an endpoint has to choose from where an option names a place, each as the option takes it. Pure. */
import type { Host, Inventory, Storage } from '@lmas/client';
import { formatBytes } from '@lmas/format';
import type { PlaceKind } from './schema-values.ts';

export interface Suggestion {
  readonly value: string;
  readonly words: string;
}
export type Suggestions = Readonly<Record<PlaceKind, readonly Suggestion[]>>;

/** Without what takes nothing now; by its id what shares its name with another one. */
export function suggestionsOf({ hosts, storage }: Pick<Inventory, 'hosts' | 'storage'>): Suggestions {
  return {
    host: named(hosts)
      .filter(({ place: { state } }) => state === 'connected')
      .map(({ value, place }) => ({ value, words: wordsOf(value, place, hostWords(place)) })),
    storage: named(storage)
      .filter(({ place: { usable } }) => usable)
      .map(({ value, place }) => ({ value, words: wordsOf(value, place, storageWords(place)) })),
  };
}

function named<Place extends { readonly name: string; readonly id?: string }>(places: readonly Place[]) {
  const sameName = Map.groupBy(places, ({ name }) => name);
  return places.map((place) => ({
    place,
    value: sameName.get(place.name)?.length === 1 ? place.name : (place.id ?? place.name),
  }));
}

const wordsOf = (value: string, { name }: { readonly name: string }, words: readonly string[]): string =>
  [...(value === name ? [] : [name]), ...words].join(', ');

const hostWords = ({ cluster, memoryBytes, memoryFreeBytes }: Host): string[] => [
  ...(cluster === null ? [] : [`cluster ${cluster}`]),
  `${formatBytes(memoryFreeBytes)} of ${formatBytes(memoryBytes)} memory free`,
];

const storageWords = ({ host, shared, capacityBytes, freeBytes }: Storage): string[] => [
  ...(host === undefined ? [] : [`at ${host}`]),
  ...(shared === true ? ['shared'] : []),
  ...(capacityBytes === null || freeBytes === null
    ? []
    : [`${formatBytes(freeBytes)} of ${formatBytes(capacityBytes)} free`]),
];
