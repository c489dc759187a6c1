/** Hostile input for decoders, handshakes and the data channel: the gateway's property tests, run for as long as one likes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { seconds as column, type Suite, type SuiteOptions } from './suite.ts';

/** One run of all properties. */
const ROUND_SECONDS = 30;

export const fuzz: Suite = {
  about: `Random and changed bytes for everything that a gateway decodes, and authentic frames in an order that no sound peer
           sends. No crash, no hang, no forgery taken for the truth, no memory beyond the window. Needs no lab.`,
  play,
};

async function play({ seconds, seed, signal, onRound }: SuiteOptions): Promise<void> {
  const file = fileURLToPath(new URL('../../apps/gateway/src/tunnel/hostile.test.ts', import.meta.url));
  const deadline = performance.now() + seconds * 1_000;
  for (let round = 0; performance.now() < deadline && !signal.aborted; round += 1) {
    const startedAt = performance.now();
    const env = {
      ...process.env,
      LMAS_FUZZ_SECONDS: String(Math.min(ROUND_SECONDS, seconds)),
      LMAS_FUZZ_SEED: String(seed + round),
    };
    const child = spawn(process.execPath, ['--test', '--test-reporter=dot', file], {
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0)
      throw new Error(`The properties of seed ${seed + round} do not hold; what is printed above repeats it.`);
    const durationMs = performance.now() - startedAt;
    onRound(`${column(durationMs)}  seed ${seed + round}`, { seed: seed + round, durationMs });
  }
}
