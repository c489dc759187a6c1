/** The licences of everything that is inside the package and not ours, in one text. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './tree.ts';

interface Described {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

const LICENCE_FILE = /^(licen[cs]e|copying|notice)([.-].*)?$/i;

/** The directory of the npm package that a source file belongs to, or undefined when it is ours. */
function packageOf(source: string): string | undefined {
  return /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(source)?.[1];
}

function notice(directory: string): string {
  const at = path.join(ROOT, directory);
  const { name, version, license } = JSON.parse(readFileSync(path.join(at, 'package.json'), 'utf8')) as Described;
  const texts = readdirSync(at)
    .filter((file) => LICENCE_FILE.test(file))
    .sort()
    .map((file) => readFileSync(path.join(at, file), 'utf8').trim());
  return [`${name} ${version} (${license ?? 'see below'})`, ...texts].join('\n\n');
}

/** @param sources files relative to the root; @param packages directories of packages that are copied as they are */
export function thirdPartyNotices(sources: readonly string[], packages: readonly string[]): string {
  const found = sources.map(packageOf).filter((directory) => directory !== undefined);
  const directories = [...new Set([...found, ...packages])].filter((directory) =>
    existsSync(path.join(ROOT, directory, 'package.json')),
  );
  return `${directories
    .sort()
    .map(notice)
    .join(`\n\n${'-'.repeat(79)}\n\n`)}\n`;
}
