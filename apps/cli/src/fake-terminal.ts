/** For tests: one command line, against an orchestrator that is played, with what it has written. */
import type { FakeOrchestrator } from './fake-orchestrator.ts';
import { run } from './program.ts';

export async function lmas(fake: FakeOrchestrator, ...args: string[]) {
  const streams = { out: '', err: '' };
  const stream = (name: 'out' | 'err') => ({
    write: (text: string) => {
      streams[name] += text;
    },
  });
  const code = await run(args, {
    ...{ stdout: stream('out'), stderr: stream('err'), stdin: process.stdin },
    interrupted: new AbortController().signal,
    env: { LMAS_URL: fake.url, LMAS_API_KEY: 'key' },
  });
  return { code, ...streams };
}
