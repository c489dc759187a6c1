/**
 * Where the reader is: the part of the address after `#`. So every page has an address of its own, the browser's buttons
 * work, and the page needs no help from the server or from a proxy in front of it.
 */
import { computed, signal } from '@preact/signals';

const read = (): string => window.location.hash.replace(/^#/, '') || '/';

const current = signal(read());
window.addEventListener('hashchange', () => {
  current.value = read();
  window.scrollTo({ top: 0 });
});

/** Path and query of where the reader is. */
export const place = computed(() => {
  const [path = '/', query = ''] = current.value.split('?', 2);
  return { path, query: new URLSearchParams(query) };
});

/** The `href` of a place. Values that are empty are left out of the query. */
export function href(path: string, query: Readonly<Record<string, string | undefined>> = {}): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => (entry[1] ?? '') !== '');
  const text = new URLSearchParams(given).toString();
  return `#${path}${text === '' ? '' : `?${text}`}`;
}

export function go(path: string, query?: Readonly<Record<string, string | undefined>>): void {
  window.location.hash = href(path, query);
}

/** How often this place was begun anew: what it shows is then loaded again, and what is filled in dropped. */
export const begun = signal(0);
export const beginAnew = (): void => {
  begun.value += 1;
};

/** What is behind `#` in this address. */
export const fragment = (): string => window.location.hash;

/** Stands at that address of this page, without a new entry in the browser's history. */
export function standAt(address: string, fragment: string): void {
  window.history.replaceState(null, '', `${address}${fragment}`);
  current.value = read();
}

/** Changes the query of this place without a new entry in the browser's history: for filters. */
export function refine(query: Readonly<Record<string, string | undefined>>): void {
  const target = href(place.value.path, query);
  window.history.replaceState(null, '', target);
  current.value = target.slice(1);
}
