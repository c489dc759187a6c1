/**
 * How long it takes to set up a pair of gateways and to take it down, through a real orchestrator and real sshd that are as far
 * from each other as the sites: the link test without a measuring phase does just that, and asks for a probe, which is taken off.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LmasClient } from '@lmas/client';
import type { Lab } from '../../lab/src/index.ts';
import { OrchestratorProcess } from '../../support/orchestrator.ts';
import { registerLab, siteId } from '../../support/two-sites.ts';
import { DisturbanceWatch } from '../machine/disturbance.ts';
import type { Sample } from '../report/sample.ts';
import { milliseconds, type Part } from './part.ts';

const RTT_MS = 100;
/** Of the probe: five on the control channel (the gateway's `probe` with a duration of 0), and two of SSH to ask for it: a channel, a request. */
const PROBE_ROUND_TRIPS = 5 + 2;
/** The orchestrator lets an SSH connection go when nobody has used it for 30 s. */
const UNTIL_COLD_MS = 32_000;

export const lifecycle: Part = {
  name: 'lifecycle',
  title: 'Setting up a pair and taking it down',
  method: `Through an orchestrator, over SSH on a management network that has the round trip of the link, ${RTT_MS} ms, from the orchestrator to both sites. The program is uploaded before. Pooled: the orchestrator still has its SSH connections; cold: it has let them go. At most: 1.5 s and 4 round trips, and 2.5 s and 15.`,
  columns: {
    tookMs: { title: 'set up and taken down, ms', text: milliseconds },
    mostMs: { title: 'at most, ms', text: milliseconds },
  },
  async *measure(lab, { quick, signal }) {
    await lab.setLink({ rateMbit: 1_000, rttMs: RTT_MS, lossPct: 0 });
    await using distance = await lab.delayManagement(RTT_MS);
    const dataDir = join(lab.stateDir, 'orchestrator');
    const orchestrator = await OrchestratorProcess.start({ dataDir });
    try {
      const client = orchestrator.client();
      const takingPart = [orchestrator.pid, distance.pid].filter((pid) => typeof pid === 'number');
      const once = (connections: Connections) => sample(lab, client, connections, takingPart, signal);
      await registerLab(client, lab);
      await setUpAndTakeDown(client, signal); // the upload
      if (!quick) {
        await sleep(UNTIL_COLD_MS, undefined, { signal });
        yield await once('cold');
      }
      for (let i = 0; i < (quick ? 2 : 5); i++) yield await once('pooled');
    } finally {
      await orchestrator.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  },
};

type Connections = 'cold' | 'pooled';

/** What the pair may take, beyond what the distance costs. */
const BOUNDS = {
  pooled: { mostMs: 1_500, roundTrips: 4 },
  cold: { mostMs: 2_500, roundTrips: 15 },
} as const;

async function sample(
  lab: Lab,
  client: LmasClient,
  connections: Connections,
  takingPart: readonly number[],
  signal: AbortSignal,
): Promise<Sample> {
  const watch = await DisturbanceWatch.start(lab, takingPart);
  const tookMs = await setUpAndTakeDown(client, signal);
  const { reasons } = await watch.stop(0);
  const { mostMs, roundTrips } = BOUNDS[connections];
  return {
    labels: { 'SSH connections': connections, 'their round trip': `${RTT_MS} ms` },
    values: { tookMs, mostMs: mostMs + roundTrips * RTT_MS },
    disturbed: reasons,
  };
}

async function setUpAndTakeDown(client: LmasClient, signal: AbortSignal): Promise<number> {
  const startedAt = performance.now();
  const input = { source: siteId('a'), destination: siteId('b'), durationMs: 0 };
  const { rttMedianMs } = await client.testLink(input, { signal });
  return performance.now() - startedAt - PROBE_ROUND_TRIPS * rttMedianMs;
}
