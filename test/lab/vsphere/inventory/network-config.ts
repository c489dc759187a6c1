/** A host's network configuration as published, from its adapters and the routes that its stacks have now. The forms are those of a real host's `config.network`. */
import { isIPv6 } from 'node:net';
import type { StackRoutes } from '../esxi/agent.ts';
import type { DataObject } from '../schema/value.ts';
import type { HostSpec, VmkernelSpec } from './spec.ts';

/** Every host has these, with an adapter or without. */
const SYSTEM_STACKS = ['vSphereProvisioning', 'vmotion', 'defaultTcpipStack'] as const;
const NIC_TYPES = ['vmotion', 'management', 'vSphereProvisioning'] as const;

export function networkInfo(host: HostSpec, stacks: readonly StackRoutes[]): DataObject {
  return {
    vnic: host.vmkernels.map((nic) => vnicOf(nic)),
    ipRouteConfig: { defaultGateway: stacks.find(({ key }) => key === 'defaultTcpipStack')?.defaultGateway },
    ipV6Enabled: false,
    atBootIpV6Enabled: false,
    netStackInstance: stackKeys(host).map((key) =>
      netStack(
        host,
        key,
        stacks.find((stack) => stack.key === key),
      ),
    ),
  };
}

const stackKeys = (host: HostSpec): string[] => [
  ...new Set([...SYSTEM_STACKS, ...host.vmkernels.map(({ stack }) => stack)]),
];

function netStack(host: HostSpec, key: string, stack: StackRoutes | undefined): DataObject {
  const ipRouteConfig = { _typeName: 'HostIpRouteConfig', defaultGateway: stack?.defaultGateway };
  const settings = {
    requestedMaxNumberOfConnections: 11_000,
    congestionControlAlgorithm: 'newreno',
    ipV6Enabled: true,
  };
  const named = { key, name: key === 'defaultTcpipStack' ? key : '' };
  if (stack === undefined) return { ...named, ipRouteConfig, ...settings };
  return { ...named, ipRouteConfig, ...settings, routeTableConfig: { ipRoute: routesOf(host, stack) } };
}

/** The default route and those of the adapters' own networks are in the table, too. */
function routesOf(host: HostSpec, stack: StackRoutes): DataObject[] {
  const nics = host.vmkernels.filter((nic) => nic.stack === stack.key);
  const [first] = nics;
  const { defaultGateway } = stack;
  const entries: DataObject[] = [
    ...(defaultGateway === undefined
      ? []
      : [{ network: '0.0.0.0', prefixLength: 0, gateway: defaultGateway, deviceName: first?.device }]),
    ...nics.filter(isV4).map(({ address, prefixLength, device }) => ({
      ...{ network: networkOf(address, prefixLength), prefixLength, gateway: '0.0.0.0', deviceName: device },
    })),
    ...stack.routes.map(({ network, prefixLength, gateway, device }) => ({
      ...{ network, prefixLength, gateway, deviceName: device ?? first?.device },
    })),
  ];
  return entries.map((route) => ({ changeOperation: 'ignore', route }));
}

function vnicOf(nic: VmkernelSpec, keyPrefix = ''): DataObject {
  const portgroup = nic.services[0] ?? nic.device;
  return {
    device: nic.device,
    key: `${keyPrefix}key-vim.host.VirtualNic-${nic.device}`,
    portgroup,
    spec: {
      ip: ipOf(nic),
      mtu: nic.mtu ?? 1_500,
      tsoEnabled: true,
      portgroup,
      netStackInstanceKey: nic.stack,
    },
  };
}

/** `VirtualNicManagerNetConfig` of every kind of service. Candidates are the adapters that could be selected, with keys of that kind. */
export function nicManagerInfo(host: HostSpec): DataObject {
  return { netConfig: NIC_TYPES.map((nicType) => nicManagerConfig(host, nicType)) };
}

export function nicManagerConfig(host: HostSpec, nicType: string): DataObject {
  const selected = host.vmkernels.filter(({ services }) => (services as readonly string[]).includes(nicType));
  return {
    nicType,
    multiSelectAllowed: true,
    candidateVnic: host.vmkernels.map((nic) => vnicOf(nic, `${nicType}.`)),
    selectedVnic: selected.map(({ device }) => `${nicType}.key-vim.host.VirtualNic-${device}`),
  };
}

export function vmotionInfo(host: HostSpec): DataObject {
  const selected = host.vmkernels.find(({ services }) => services.includes('vmotion'));
  const prefix = 'VMotionConfig.vmotion.';
  const netConfig = {
    candidateVnic: host.vmkernels.map((nic) => vnicOf(nic, prefix)),
    ...(selected === undefined ? {} : { selectedVnic: `${prefix}key-vim.host.VirtualNic-${selected.device}` }),
  };
  if (selected === undefined) return { netConfig };
  return { netConfig, ipConfig: ipOf(selected) };
}

/** An adapter of the lab has an address of one family; of IPv6 its hosts know addresses, and no routes. */
function ipOf(nic: VmkernelSpec): DataObject {
  const { address: ipAddress, prefixLength } = nic;
  if (isV4(nic)) return { dhcp: false, ipAddress, subnetMask: maskOf(prefixLength) };
  const ipV6Config = { ipV6Address: [{ ipAddress, prefixLength }], autoConfigurationEnabled: false };
  return { dhcp: false, ipV6Config };
}

const isV4 = ({ address }: VmkernelSpec): boolean => !isIPv6(address);

export function networkOf(address: string, prefixLength: number): string {
  if (isIPv6(address)) throw new Error('the lab has routes of IPv4 only');
  const bits = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - prefixLength);
  return dotted(Math.floor(bits / size) * size);
}

const maskOf = (prefixLength: number): string => dotted(2 ** 32 - 2 ** (32 - prefixLength));

const dotted = (bits: number): string => [24, 16, 8, 0].map((shift) => Math.floor(bits / 2 ** shift) % 256).join('.');
