/**
 * One run of a migration in a process of its own, for take-over.test.ts: it is connected to a gateway machine, is stopped
 * where it has looked at the record for the last time, and makes its call there when it wakes up.
 */
import { errorCode } from '../../apps/orchestrator/src/errors.ts';
import { type GatewayErrand, provisionerOf } from './take-over-parts.ts';

process.once('message', (errand: GatewayErrand) => {
  run(errand).then(
    () => process.send?.('done', () => process.exit()),
    (error: unknown) => process.send?.(errorCode(error) ?? String(error), () => process.exit()),
  );
});

async function run(errand: GatewayErrand): Promise<void> {
  const { call, address } = errand;
  const signal = AbortSignal.timeout(60_000);
  const provisioner = provisionerOf(errand);
  await provisioner.attach(address, 1, { signal });
  process.kill(process.pid, 'SIGSTOP');
  if (call === 'start') await provisioner.start(address, 1, { signal });
  else await provisioner.remove(address, 1, { signal, sparing: false });
}
