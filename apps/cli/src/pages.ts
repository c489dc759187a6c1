/** Commands that list what may be long: the newest ones, as many as asked for or all, and a word when there are more. */
import { everyPage, type Page } from '@lmas/client';
import { type Command, Option } from 'commander';
import { parseInteger } from './units.ts';

export interface PageFlags {
  readonly limit?: string;
  readonly all?: boolean;
}

const MOST = 200;

export function withPageOptions(command: Command): Command {
  return command
    .addOption(new Option('--limit <n>', `at most so many, 1 to ${MOST} (default: 50)`).conflicts('all'))
    .option('--all', 'all of them');
}

/** As the flags say. @throws CliError INVALID_VALUE */
export async function readPages<Item>(
  { limit, all }: PageFlags,
  read: (query: { limit?: number; cursor?: string }) => Promise<Page<Item>>,
): Promise<Page<Item>> {
  if (all === true) return { items: await everyPage(read), nextCursor: null };
  return await read(limit === undefined ? {} : { limit: parseInteger(limit, { min: 1, max: MOST }) });
}
