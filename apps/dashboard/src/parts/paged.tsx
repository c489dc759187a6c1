/**
 * The pages of a long list, one below the other: kept up to date as far as they are shown. Whoever wants more gets one page
 * more.
 */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { type Resource, useResource } from '../live/resource.ts';
import { Loaded } from './loaded.tsx';

interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
}

type Load<Found> = (query: { cursor?: string }, options: { signal: AbortSignal }) => Promise<Found>;

export interface Pages<Found> {
  /** All pages that are shown, as one. */
  readonly of: Resource<Found>;
  /** One page more. */
  more(): void;
}

/** @param load one page @param key what it depends on */
export function usePages<Found extends Page<unknown>>(
  load: Load<Found>,
  key: readonly unknown[],
  options: Parameters<typeof useResource>[2] = {},
): Pages<Found> {
  const asked = JSON.stringify(key);
  // Another filter begins with one page again.
  const [shown, show] = useState({ asked, pages: 1 });
  const pages = shown.asked === asked ? shown.pages : 1;
  const of = useResource((signals) => loadPages(load, pages, signals), [asked], options);
  useEffect(() => {
    if (pages > 1) of.reload();
  }, [pages]);
  return { of, more: () => show({ asked, pages: pages + 1 }) };
}

async function loadPages<Found extends Page<unknown>>(
  load: Load<Found>,
  pages: number,
  options: { signal: AbortSignal },
): Promise<Found> {
  let whole = await load({}, options);
  for (let page = 1; page < pages && whole.nextCursor !== null; page += 1) {
    const next = await load({ cursor: whole.nextCursor }, options);
    whole = { ...next, items: [...whole.items, ...next.items] };
  }
  return whole;
}

interface PagedProps<Found extends Page<unknown>> {
  readonly pages: Pages<Found>;
  readonly children: (found: Found) => ComponentChildren;
}

export function Paged<Found extends Page<unknown>>({ pages, children }: PagedProps<Found>) {
  return (
    <Loaded of={pages.of}>
      {(found) => (
        <>
          {children(found)}
          {found.nextCursor === null ? null : (
            <p>
              <button type="button" onClick={() => pages.more()}>
                Show older ones
              </button>
            </p>
          )}
        </>
      )}
    </Loaded>
  );
}
