/**
 * What the hypervisor answers, in the words of the contract: here and nowhere else. Its own name stays in `native`.
 */
import { PluginError, type PluginErrorCode } from '@lmas/plugin-api';

const CODES: Readonly<Record<string, PluginErrorCode>> = {
  VM_NOT_FOUND: 'VM_NOT_FOUND',
  BUSY: 'BUSY',
  ABORTED: 'ABORTED',
  STREAM_FAILED: 'STREAM_FAILED',
  SUPERSEDED: 'SUPERSEDED',
};

export function toPluginError({ code, message }: { readonly code: string; readonly message: string }): PluginError {
  return new PluginError(CODES[code] ?? 'HYPERVISOR_FAULT', message, { native: { name: code, message } });
}
