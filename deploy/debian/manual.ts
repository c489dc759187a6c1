/** The manual pages of the package: those of the command line, and those of the two programs that run by themselves. */
import { manualPages, roff } from '../../apps/cli/src/reference/manual.ts';
import { help as gatewayHelp } from '../../apps/gateway/src/help.ts';
import { explainSettings } from '../../apps/orchestrator/src/config.ts';

export interface Page {
  /** Relative to the directory of all manual pages. */
  readonly path: string;
  readonly text: string;
}

const header = (title: string, version: string): string => `.TH ${title} 8 "" "LMAS ${version}" "LMAS"\n`;
const heading = (title: string): string => `.SH ${title}\n`;

function orchestrator(version: string): string {
  const settings = explainSettings().map(({ variable, why, standard }) => {
    const value = standard === null || standard === '' ? 'unset' : standard;
    // A list has no spaces: a line may end after each comma.
    return `.TP\n.B ${roff(variable)}\n${roff(why)} Default: ${roff(value).replaceAll(',', ',\\:')}.\n`;
  });
  return [
    header('LMAS-ORCHESTRATOR', version),
    heading('NAME'),
    'lmas\\-orchestrator \\- REST API, queue and workflow of live migrations\n',
    heading('SYNOPSIS'),
    '.B lmas\\-orchestrator\n[\\fB\\-\\-role\\fR all|api|worker|scheduler]\n',
    '.br\n.B lmas\\-orchestrator backup\n.I FILE\n.br\n.B lmas\\-orchestrator restore\n.I FILE\n',
    heading('DESCRIPTION'),
    'Takes requests to move running virtual machines, and sees to it that each comes to a truthful end.\n',
    'All settings come from the environment; the units of the package read\n.IR /etc/lmas/orchestrator.env .\n',
    heading('ENVIRONMENT'),
    ...settings,
    heading('FILES'),
    '.TP\n.I /etc/lmas/orchestrator.env\nSettings for the units.\n',
    '.TP\n.I /var/lib/lmas\nThe records in a Redis of its own, the master key, the first API key.\n',
    heading('SIGNALS'),
    '.TP\n.B SIGTERM, SIGINT\nEnds in order: calls are answered, migrations that are under way are taken up by the next start. The second one ends it at once.\n',
    '.TP\n.B SIGHUP\nReads the certificate again.\n',
    heading('SEE ALSO'),
    '.BR lmas (1),\n.BR lmas\\-gateway (8)\n',
  ].join('');
}

/** Its help is a manual page already, but for the macros. */
function gateway(version: string): string {
  const [, ...sections] = gatewayHelp.split(/^(?=[A-Z][A-Z ]+$)/m);
  const bodies = sections.map((section) => {
    const [title = '', ...lines] = section.trimEnd().split('\n');
    const body = lines.map((line) => line.replace(/^ {2}/, '')).join('\n');
    if (title === 'NAME') return `${heading(title)}${body.split(' - ').map(roff).join(' \\- ')}\n`;
    return `${heading(title)}.nf\n${roff(body)}\n.fi\n`;
  });
  return header('LMAS-GATEWAY', version) + bodies.join('');
}

export function allManualPages(version: string): Page[] {
  return [
    ...manualPages().map(({ file, text }) => ({ path: `man1/${file}`, text })),
    { path: 'man8/lmas-orchestrator.8', text: orchestrator(version) },
    { path: 'man8/lmas-gateway.8', text: gateway(version) },
  ];
}
