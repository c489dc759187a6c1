/**
 * How long it takes to set up a pair of gateways and to take it down, through a real orchestrator and real sshd: the link
 * test without a measuring phase does just that, and five round trips of probing, which are taken off.
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
/** Round trips of the probe: see the gateway's `probe` with a duration of 0. */
const PROBE_ROUND_TRIPS = 5;
/** The orchestrator lets an SSH connection go when nobody has used it for 30 s. */
const UNTIL_COLD_MS = 32_000;

export const lifecycle: Part = {
  name: 'lifecycle',
  title: 'Setting up a pair and taking it down',
  method: `Through an orchestrator, over SSH on a management network without delay, so that the round trips that are granted are not spent on SSH; the tunnel crosses ${RTT_MS} ms. The program is uploaded before. Pooled: the orchestrator still has its SSH connections; cold: it has let them go.`,
  columns: {
    tookMs: { title: 'set up and taken down, ms', text: milliseconds },
    mostMs: { title: 'at most, ms', text: milliseconds },
    mostWithoutRttMs: { title: 'at most without round trips, ms', text: milliseconds },
  },
  async *measure(lab, { quick, signal }) {
    await lab.setLink({ rateMbit: 1_000, rttMs: RTT_MS, lossPct: 0 });
    const dataDir = join(lab.stateDir, 'orchestrator');
    const orchestrator = await OrchestratorProcess.start({ dataDir });
    try {
      const client = orchestrator.client();
      await registerLab(client, lab);
      await setUpAndTakeDown(client, signal); // the upload
      if (!quick) {
        await sleep(UNTIL_COLD_MS, undefined, { signal });
        yield await sample(lab, orchestrator, 'cold', { mostMs: 2_500, roundTrips: 15 }, signal);
      }
      for (let i = 0; i < (quick ? 2 : 5); i++)
        yield await sample(lab, orchestrator, 'pooled', { mostMs: 1_500, roundTrips: 4 }, signal);
    } finally {
      await orchestrator.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  },
};

async function sample(
  lab: Lab,
  orchestrator: OrchestratorProcess,
  connections: 'cold' | 'pooled',
  bound: { mostMs: number; roundTrips: number },
  signal: AbortSignal,
): Promise<Sample> {
  const { pid } = orchestrator;
  const watch = await DisturbanceWatch.start(lab, pid === undefined ? [] : [pid]);
  const tookMs = await setUpAndTakeDown(orchestrator.client(), signal);
  const { reasons } = await watch.stop(0);
  const mostMs = bound.mostMs + bound.roundTrips * RTT_MS;
  const values = { tookMs, mostMs, mostWithoutRttMs: bound.mostMs };
  return { labels: { 'SSH connections': connections }, values, disturbed: reasons };
}

async function setUpAndTakeDown(client: LmasClient, signal: AbortSignal): Promise<number> {
  const startedAt = performance.now();
  const input = { source: siteId('a'), destination: siteId('b'), durationMs: 0 };
  const { rttMedianMs } = await client.testLink(input, { signal });
  return performance.now() - startedAt - PROBE_ROUND_TRIPS * rttMedianMs;
}
