/**
 * What a world refuses, in the codes of the plugin contract.
 */
import type { PluginErrorCode } from '@lmas/plugin-api';

export class WorldError extends Error {
  /** One of the plugin contract's; a world with more in it than hosts may have codes of its own. */
  readonly code: PluginErrorCode | (string & {});

  constructor(code: WorldError['code'], message: string) {
    super(message);
    this.code = code;
  }
}
