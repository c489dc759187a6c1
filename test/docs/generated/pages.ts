/**
 * The pages of docs/ that are written from the code, so that they cannot tell another story; a test compares.
 *
 *   npm run generate -w @lmas/test        writes them anew
 */
import { writeFileSync } from 'node:fs';
import { apiPage } from './api.ts';
import { configurationPage } from './configuration.ts';
import { errorsPage } from './errors.ts';
import { pluginsPage } from './plugins.ts';

export const PAGES: readonly { readonly file: URL; render(): string }[] = [
  { file: new URL('../../../docs/api-reference.md', import.meta.url), render: apiPage },
  { file: new URL('../../../docs/configuration.md', import.meta.url), render: configurationPage },
  { file: new URL('../../../docs/errors.md', import.meta.url), render: errorsPage },
  { file: new URL('../../../docs/plugin-settings.md', import.meta.url), render: pluginsPage },
];

if (import.meta.main) for (const { file, render } of PAGES) writeFileSync(file, render());
