/**
 * What a world answers, in the words of the plugin contract.
 */
import { PLUGIN_ERRORS, PluginError, type PluginErrorCode } from '@lmas/plugin-api';

const isKnown = (code: string): code is PluginErrorCode => code in PLUGIN_ERRORS;

export function toPluginError({ code, message }: { readonly code: string; readonly message: string }): PluginError {
  return new PluginError(isKnown(code) ? code : 'HYPERVISOR_FAULT', message, { native: { name: code, message } });
}
