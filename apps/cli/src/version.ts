/** The version of this command, from its own package.json. */
import { createRequire } from 'node:module';

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };
export const CLI_VERSION = version;
