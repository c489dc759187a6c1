/** Measures the link between two sites: two gateways are started for it, and taken away again. */
import type { LinkTest, Site } from '@lmas/client';
import { useState } from 'preact/hooks';
import { Findings } from '../../parts/findings.tsx';
import { Problem } from '../../parts/problem.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client } from '../../session/session.ts';

export function MeasureLink({ sites, onMeasured }: { sites: readonly Site[]; onMeasured: () => void }) {
  const [source, setSource] = useState('');
  const [destination, setDestination] = useState('');
  const [result, setResult] = useState<LinkTest | null>(null);
  const test = useAction(async () => {
    setResult(null);
    setResult(await client().testLink({ source, destination }));
    onMeasured();
  });
  if (sites.length < 2)
    return <p class="muted">A link can be measured between two sites that have a gateway machine.</p>;
  const choice = (label: string, value: string, set: (id: string) => void, except: string) => (
    <label>
      {label}
      <select required value={value} onChange={({ currentTarget }) => set(currentTarget.value)}>
        <option value="">choose</option>
        {sites
          .filter(({ id }) => id !== except)
          .map(({ id }) => (
            <option key={id}>{id}</option>
          ))}
      </select>
    </label>
  );
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        void test.run();
      }}
    >
      {choice('Measure from', source, setSource, destination)}
      {choice('to', destination, setDestination, source)}
      <button type="submit" disabled={test.busy}>
        {test.busy ? 'Measuring …' : 'Measure'}
      </button>
      <p class="hint">Two gateways are started and fill the link for some seconds.</p>
      <Problem error={test.error} />
      {result === null ? null : <Findings findings={result.findings} />}
    </form>
  );
}
