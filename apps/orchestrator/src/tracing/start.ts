/**
 * Begins tracing when the environment names an exporter, and leaves everything alone when it does not. Tracing is never in
 * the way of a start: settings that make no sense are told off in the log, and there are no traces then.
 */
import type { Logger } from '../log.ts';
import { readTracingSettings, wantsTraces } from './settings.ts';

/** What a collector may take to take the last spans. */
const LAST_BATCH_MS = 3_000;
/** May hold keys of whoever takes the traces: read once, and not for children. */
const SECRET_VARIABLES = ['OTEL_EXPORTER_OTLP_HEADERS', 'OTEL_EXPORTER_OTLP_TRACES_HEADERS'];

export interface Tracing {
  /** Sends what is left. Never rejects, and takes a few seconds at most. */
  stop(): Promise<void>;
}

/** @param environment loses what is secret in it */
export async function startTracing(environment: NodeJS.ProcessEnv, role: string, log: Logger): Promise<Tracing> {
  let shutDown: (() => Promise<void>) | undefined;
  try {
    if (wantsTraces(environment)) {
      const settings = readTracingSettings(environment);
      const { installExporter } = await import('./exporter.ts');
      shutDown = await installExporter(settings, role, log);
      log.info({ protocol: settings.protocol, sampler: settings.sampler }, 'traces are sent');
    }
  } catch (error) {
    log.warn({ err: error }, 'there will be no traces');
  }
  for (const name of SECRET_VARIABLES) delete environment[name];
  return {
    async stop() {
      if (shutDown === undefined) return;
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, LAST_BATCH_MS);
      await Promise.race([shutDown(), late.promise]).catch((error: unknown) => {
        log.warn({ err: error }, 'the last traces could not be sent');
      });
      clearTimeout(timer);
    },
  };
}
