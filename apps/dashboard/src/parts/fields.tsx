/** Facts about one thing, as pairs of a name and a value. */
import type { ComponentChildren } from 'preact';

export type Field = readonly [name: string, value: ComponentChildren];

/** Pairs whose value is null are left out. */
export function Fields({ of }: { of: readonly Field[] }) {
  return (
    <dl class="fields">
      {of
        .filter(([, value]) => value !== null)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
