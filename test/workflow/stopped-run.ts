/**
 * One run of a migration in a process of its own, for take-over.test.ts: it goes on until the guest stands still with
 * everything sent, looks at the record once more, is stopped right there, and sends Finish when it wakes up.
 */
import { kvmPlugin } from '@lmas/plugin-kvm';
import { type Assignment, connectEnd, requestOf, silent } from './take-over-parts.ts';

process.once('message', (assignment: Assignment) => {
  run(assignment).then(
    () => process.send?.('confirmed', () => process.exit()),
    (error: unknown) => process.send?.(String(error), () => process.exit()),
  );
});

async function run(assignment: Assignment): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  const ends = {
    source: await connectEnd(assignment, 'source', signal),
    destination: await connectEnd(assignment, 'destination', signal),
  };
  let stopsAtNextLook = false;
  const driver = kvmPlugin.migration(ends, requestOf(assignment), {
    log: silent,
    recordIntent: async () => undefined,
    assertCurrent: async () => {
      if (stopsAtNextLook) process.kill(process.pid, 'SIGSTOP');
      stopsAtNextLook = false;
    },
  });
  const prepared = await driver.prepare({ signal });
  const routes = Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }]));
  const ignore = { onProgress: () => undefined, onPointOfNoReturn: async () => undefined };
  await driver.perform(prepared, routes, { signal, ...ignore });
  stopsAtNextLook = true;
  await driver.confirm(prepared, { signal });
}
