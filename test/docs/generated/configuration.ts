/**
 * docs/configuration.md, from the settings of the orchestrator themselves.
 */
import { explainSettings } from '../../../apps/orchestrator/src/config.ts';

/** What depends on who asks, or where. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  LMAS_DATA_DIR: '`/var/lib/lmas` as root, else `~/.local/state/lmas`',
};

export function configurationPage(): string {
  const rows = explainSettings().map(({ variable, why, standard }) => {
    const byDefault = ELSEWHERE[variable] ?? (standard === null || standard === '' ? '' : `\`${standard}\``);
    return `| \`${variable}\` | ${byDefault} | ${why.replaceAll('|', '\\|').replaceAll('<', '&lt;')} |`;
  });
  return [
    '# Settings of the orchestrator',
    '',
    'All from the environment, read once at the start; one that cannot be right ends the start with a sentence for each. With the Debian',
    'package they are lines of `/etc/lmas/orchestrator.env` ([install.md](install.md)); `lmas-orchestrator --help` prints this list, and',
    '`GET /v1/settings` shows what a running process has, secrets left out. Where traces go is said by the variables of OpenTelemetry',
    '([operations.md](operations.md#traces)).',
    '',
    '| variable | default | is for |',
    '| --- | --- | --- |',
    ...rows,
    '',
    'What a gateway that is run by hand may be told is in [its README](../apps/gateway/README.md), what `lmas` reads in [cli.md](cli.md).',
    '',
  ].join('\n');
}
