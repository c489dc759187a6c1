/**
 * `deploy/orchestrator.env`: every setting of the orchestrator, explained, each with its default behind a `#`. Written from the
 * settings themselves (`npm run generate -w @lmas/deploy`); a test fails when they have gone apart.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { explainSettings } from '../../apps/orchestrator/src/config.ts';

export const ENVIRONMENT_FILE = path.join(import.meta.dirname, '../orchestrator.env');
const WIDTH = 110;

const HEADER = `Settings of the orchestrator, read at its start by lmas-orchestrator.service and by each lmas-orchestrator@ROLE.service.
Take the # from a line to change what it says; after a change: systemctl restart lmas-orchestrator.
One process of many may have a file of its own beside this one: orchestrator-ROLE.env. Keep them readable by root alone if
they hold secrets.`;

/** What the package decides, and not the program by itself. */
const OF_THE_PACKAGE: Readonly<Record<string, { standard: string; why?: string }>> = {
  LMAS_DATA_DIR: {
    standard: '/var/lib/lmas',
    why: 'Where the API key, the secret key and the private Redis live. The units set it; another directory needs more rights than they give.',
  },
  LMAS_REDIS_SERVER: { standard: '/usr/lib/lmas/redis-server' },
  LMAS_GATEWAY_BUNDLE: { standard: '/usr/lib/lmas/lmas-gateway.tar.gz', why: 'The gateway bundle to upload.' },
  LMAS_DASHBOARD_DIR: { standard: '/usr/lib/lmas/dashboard', why: 'The built web page.' },
};

function comment(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.map((line) => `# ${line}`).join('\n');
}

export function environmentFile(): string {
  const settings = explainSettings().map(({ variable, why, standard }) => {
    const packaged = OF_THE_PACKAGE[variable];
    const value = packaged?.standard ?? standard ?? '';
    return `${comment(packaged?.why ?? why)}\n#${variable}=${value}\n`;
  });
  const traces = `${comment('Where traces are sent, if anywhere; see docs/operations.md for this and its like.')}\n#OTEL_EXPORTER_OTLP_ENDPOINT=\n`;
  return [`${HEADER.replaceAll(/^/gm, '# ')}\n`, ...settings, traces].join('\n');
}

if (import.meta.main) writeFileSync(ENVIRONMENT_FILE, environmentFile());
