/** A part of a page that needs data: says that it is on its way, or why it is not there. */
import type { ComponentChildren } from 'preact';
import type { Resource } from '../live/resource.ts';
import { Problem } from './problem.tsx';

interface LoadedProps<Data> {
  readonly of: Resource<Data>;
  readonly children: (data: Data) => ComponentChildren;
}

export function Loaded<Data>({ of, children }: LoadedProps<Data>) {
  return (
    <>
      <Problem error={of.error} />
      {of.data === undefined ? of.error === undefined ? <p class="muted">Loading …</p> : null : children(of.data)}
    </>
  );
}
