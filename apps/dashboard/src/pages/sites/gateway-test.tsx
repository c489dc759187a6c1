/** Whether a site's machine can run gateways, tried now: this orchestrator's own program is put there and looks around. */
import type { GatewayTest as Result } from '@lmas/client';
import { formatDuration } from '@lmas/format';
import { useState } from 'preact/hooks';
import { Badge } from '../../parts/badge.tsx';
import { CheckList } from '../../parts/check-list.tsx';
import { Problem } from '../../parts/problem.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client } from '../../session/session.ts';

export function GatewayTest({ site }: { site: string }) {
  const [result, setResult] = useState<Result | null>(null);
  const test = useAction(async () => {
    setResult(null);
    setResult(await client().testGateway(site));
  });
  return (
    <div class="test">
      <button type="button" disabled={test.busy} onClick={() => void test.run()}>
        {test.busy ? 'Testing …' : 'Test the machine'}
        <span class="unseen"> of {site}</span>
      </button>
      <Problem error={test.error} />
      {result === null ? null : (
        <div role="status">
          <p>
            <Badge tone={result.ok ? 'good' : 'bad'}>{result.ok ? 'works' : 'does not work'}</Badge>{' '}
            <span class="muted">after {formatDuration(result.durationMs)}</span>
          </p>
          <CheckList checks={result.checks.map(({ found, ...check }) => ({ ...check, seen: found }))} />
        </div>
      )}
    </div>
  );
}
