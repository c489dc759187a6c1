/**
 * docs/plugin-settings.md: what an endpoint and a migration may be told, from the schemas of the plugins that come with LMAS.
 */
import type { HypervisorPlugin } from '@lmas/plugin-api';
import kvm from '@lmas/plugin-kvm';
import simulated from '@lmas/plugin-simulated';
import vmware from '@lmas/plugin-vmware';
import xen from '@lmas/plugin-xen';
import xl from '@lmas/plugin-xen/xl';
import { z } from 'zod';

/** Page of each, where it says more than its schemas do. */
const PLUGINS = [
  { plugin: kvm, title: 'KVM/libvirt', page: '../plugins/kvm/README.md' },
  { plugin: vmware, title: 'VMware', page: '../plugins/vmware/README.md' },
  { plugin: xen, title: 'XenServer and XCP-ng', page: '../plugins/xen/README.md' },
  { plugin: xl, title: 'Plain Xen', page: '../plugins/xen/README.md#plain-xen' },
  { plugin: simulated, title: 'A simulated hypervisor', page: '../plugins/simulated/README.md' },
] as unknown as readonly { plugin: HypervisorPlugin; title: string; page: string }[];

/** As much of JSON Schema as the schemas of plugins use. */
interface Property {
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly anyOf?: readonly Property[];
  readonly items?: Property;
  readonly properties?: Readonly<Record<string, Property>>;
  readonly required?: readonly string[];
}

const inCell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ');

/** What may be said, in few words. */
function kindOf({ type, items, ...property }: Property): string {
  if (property.enum !== undefined) return property.enum.map((value) => `\`${value}\``).join(', ');
  if (property.const !== undefined) return `\`${property.const}\``;
  if (property.anyOf !== undefined) return [...new Set(property.anyOf.map(kindOf))].join(' or ');
  if (type === 'array')
    return `list${items === undefined ? '' : ` of ${kindOf(items).replace(/^(text|object)$/, '$1s')}`}`;
  if (type === 'integer' || type === 'number') return kindOfNumber(property);
  const words: Readonly<Record<string, string>> = { string: 'text', boolean: '`true`, `false`', null: '`null`' };
  return words[type ?? ''] ?? 'object';
}

function kindOfNumber({ minimum, maximum }: Property): string {
  const isBounded = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER;
  return isBounded ? `${minimum ?? 0} to ${maximum}` : 'number';
}

/** A setting within a setting has a row of its own: `receivePorts.from`. */
function rowsOf({ properties = {}, required = [] }: Property, within = ''): string[] {
  return Object.entries(properties).flatMap(([name, property]) => {
    const isNeeded = property.default === undefined && required.includes(name);
    const standard = property.default === undefined ? '' : `\`${JSON.stringify(property.default)}\``;
    const why = property.description ?? '';
    const cells = [`\`${within}${name}\``, kindOf(property), isNeeded ? '*required*' : standard, why].map(inCell);
    const inside = property.items === undefined ? [] : rowsOf(property.items, `${within}${name}[].`);
    return [`| ${cells.join(' | ')} |`, ...rowsOf(property, `${within}${name}.`), ...inside];
  });
}

const tableOf = (schema: z.ZodType): string[] => {
  const rows = rowsOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Property);
  return rows.length === 0 ? ['None.'] : ['| name | takes | default | means |', '| --- | --- | --- | --- |', ...rows];
};

export function pluginsPage(): string {
  const sections = PLUGINS.flatMap(({ plugin: { name, configSchema, optionsSchema }, title, page }) => [
    `## ${title}: \`${name}\``,
    '',
    `More on [its page](${page}).`,
    '',
    `### Settings of an endpoint with \`${name}\``,
    '',
    ...tableOf(configSchema as z.ZodType),
    '',
    `### Options of a migration with \`${name}\``,
    '',
    ...tableOf(optionsSchema as z.ZodType),
    '',
  ]);
  return [
    '# Settings and options of the plugins',
    '',
    'What an endpoint is told once (`lmas endpoint add … --config NAME=VALUE`, `config` in the API), and what a migration may be told each time',
    '(`lmas migrate … --option NAME=VALUE`, `options`). A list is given by naming its key again; a dot leads into an object. What is neither required',
    'nor has a default may be left out. `lmas plugin get NAME` shows the same for whatever plugins an orchestrator has loaded.',
    '',
    ...sections,
  ].join('\n');
}
