/** The passes of a policy: how far apart the hosts were over time, and every decision of each with its sentence. */
import type { BalancingPass } from '@lmas/client';
import { plural } from '@lmas/format';
import { Badge } from '../../parts/badge.tsx';
import { LineChart } from '../../parts/line-chart.tsx';
import { Time } from '../../parts/time.tsx';
import { Words } from '../../parts/words.tsx';
import { points } from './policy-words.tsx';

type Decision = BalancingPass['decisions'][number];

export function Passes({ passes }: { passes: readonly BalancingPass[] }) {
  const oldestFirst = passes.toReversed();
  return (
    <>
      {passes.length < 2 ? null : (
        <LineChart
          title="How far the hosts were apart at each pass"
          format={points}
          least={0.1}
          series={[
            {
              name: 'how far the hosts are apart',
              line: 'line-1',
              points: oldestFirst.map(({ at, spread }) => ({ atMs: Date.parse(at), value: spread })),
            },
          ]}
        />
      )}
      <ul class="bare passes">
        {passes.map((pass, i) => (
          <li key={pass.number}>
            <details open={i === 0}>
              <summary>
                Pass {pass.number}, <Time at={pass.at} />: {summaryOf(pass)}
              </summary>
              <Decisions decisions={pass.decisions} />
            </details>
          </li>
        ))}
      </ul>
    </>
  );
}

function summaryOf({ hosts, moves, spread, mode }: BalancingPass): string {
  const busy = hosts.filter(({ tooBusy }) => tooBusy).map(({ endpoint }) => endpoint);
  return [
    busy.length === 0 ? 'nobody too busy' : `${busy.join(', ')} too busy`,
    mode === 'explain' ? 'only said what it would do' : plural(moves.length, 'move'),
    `${points(spread)} apart`,
  ].join(', ');
}

function Decisions({ decisions }: { decisions: readonly Decision[] }) {
  return (
    <ul class="findings">
      {decisions.map(({ code, text }) => (
        <li key={`${code} ${text}`}>
          <Badge tone={code === 'MOVE' ? 'busy' : code === 'HOST_RESTS' ? 'good' : 'plain'}>
            {code === 'MOVE' ? 'move' : 'stay'}
          </Badge>
          <p>
            <Words of={text} /> <span class="code">{code}</span>
          </p>
        </li>
      ))}
    </ul>
  );
}
