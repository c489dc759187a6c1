/** The orchestrator itself: version, health, gateways that live now, plugins. */
import type { Gateway } from '@lmas/client';
import { formatBitRate } from '@lmas/format';
import { useResource } from '../live/resource.ts';
import { href } from '../navigation.ts';
import { Badge, type Tone } from '../parts/badge.tsx';
import { CheckList } from '../parts/check-list.tsx';
import { Fields } from '../parts/fields.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { PageHeading } from '../parts/page-heading.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { orchestratorUrl } from '../session/orchestrator-url.ts';
import { client, mayForAll, session } from '../session/session.ts';

export function SystemPage() {
  const service = useResource(
    async (options) => ({
      version: await client().getVersion(options),
      readiness: await client().getReadiness(options),
    }),
    [],
    { everyMs: 10_000 },
  );
  const gateways = useResource((options) => client().listGateways(options), [], {
    everyMs: 3_000,
    withNotices: true,
  });
  const plugins = useResource((options) => client().listPlugins(options), []);
  return (
    <>
      <PageHeading title="System" />
      <Loaded of={service}>
        {({ version, readiness }) => (
          <div class="card">
            <Fields
              of={[
                ['Version', version.version],
                ['API', `v${version.apiVersion}`],
                ['You are', `${session.value?.caller.name}, ${session.value?.caller.role}`],
              ]}
            />
            <CheckList
              checks={readiness.checks.map(({ name, ok, detail }) => ({
                ...{ name, seen: detail, remedy: null },
                status: ok ? 'ok' : 'failed',
              }))}
            />
            <p>
              <a href={`${orchestratorUrl}/docs`}>The REST API, to browse and try</a>
            </p>
          </div>
        )}
      </Loaded>
      {mayForAll('viewer') ? <Diagnosis /> : null}
      <h2>Gateways that live now</h2>
      <Loaded of={gateways}>
        {(items) =>
          items.length === 0 ? (
            <p class="muted">None: they live as long as their migration.</p>
          ) : (
            <Gateways gateways={items} />
          )
        }
      </Loaded>
      <h2>Plugins</h2>
      <Loaded of={plugins}>
        {(items) => (
          <ul class="bare">
            {items.map(({ name, capabilities }) => (
              <li key={name}>
                <strong>{name}</strong>{' '}
                <span class="muted">
                  {Object.entries(capabilities)
                    .filter(([, can]) => can)
                    .map(([what]) => CAPABILITIES[what] ?? what)
                    .join('; ')}
                </span>
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </>
  );
}

/** As the contract of plugins names them. */
const CAPABILITIES: Readonly<Record<string, string>> = {
  redirectedRoute: 'can be told the gateway’s address',
  transparentRoute: 'is intercepted by the gateway on the way',
  copiesDisks: 'copies disks',
  postCopy: 'can switch to post-copy',
  survivesController: 'can go on without the orchestrator',
  drills: 'can rehearse: a copy of a VM comes up and is undone',
  movesPoweredOff: 'moves VMs that are powered off',
  movesDisksAlone: 'moves the disks of a VM alone',
};

/** What `lmas doctor` asks the orchestrator; nothing at a far end is asked. */
function Diagnosis() {
  const diagnosis = useResource((options) => client().getDiagnosis(options), [], { everyMs: 30_000 });
  return (
    <>
      <h2>Diagnosis</h2>
      <Loaded of={diagnosis}>
        {({ checks }) => <CheckList checks={checks.map(({ found, ...check }) => ({ ...check, seen: found }))} />}
      </Loaded>
    </>
  );
}

function Gateways({ gateways }: { gateways: readonly Gateway[] }) {
  return (
    <Table
      caption="Gateways that live now"
      rows={gateways}
      keyOf={({ migration, end }) => `${migration} ${end}`}
      columns={[
        { title: 'Site', cell: ({ site }) => site, sortBy: ({ site }) => site },
        { title: 'End', cell: ({ end }) => end, sortBy: ({ end }) => end },
        {
          title: 'State',
          cell: ({ status }) => <Badge tone={GATEWAY_TONES[status]}>{status}</Badge>,
          sortBy: ({ status }) => status,
        },
        { title: 'For', cell: ({ migration }) => <a href={href(`/migrations/${migration}`)}>its migration</a> },
        {
          title: 'Carries',
          cell: ({ tunnel }) => (tunnel === null ? '' : formatBitRate(tunnel.goodputBitsPerSec)),
          sortBy: ({ tunnel }) => tunnel?.goodputBitsPerSec ?? null,
          isNumber: true,
        },
        { title: 'Since', cell: ({ since }) => <Time at={since} />, sortBy: ({ since }) => since },
      ]}
    />
  );
}

const GATEWAY_TONES: Readonly<Record<Gateway['status'], Tone>> = {
  starting: 'busy',
  ready: 'good',
  carrying: 'good',
  ending: 'plain',
  'left-over': 'bad',
};
