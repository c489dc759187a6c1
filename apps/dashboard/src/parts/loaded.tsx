/** A part of a page that needs data: says that it is on its way, or why it is not there. */
import type { ComponentChildren } from 'preact';
import type { Resource } from '../live/resource.ts';
import { Problem } from './problem.tsx';
import { useToldOnce } from './told-once.ts';

interface LoadedProps<Data> {
  readonly of: Resource<Data>;
  readonly children: (data: Data) => ComponentChildren;
}

export function Loaded<Data>({ of: { data, error }, children }: LoadedProps<Data>) {
  const tells = useToldOnce(error === undefined || error === null ? null : String(error));
  return (
    <>
      {tells ? <Problem error={error} asksAgain /> : null}
      {data === undefined ? error === undefined ? <p class="muted">Loading …</p> : null : children(data)}
    </>
  );
}
