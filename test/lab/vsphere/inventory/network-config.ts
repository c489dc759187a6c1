/** A host's network configuration as published, from its adapters and the routes that its stacks have now. The forms are those of a real host's `config.network`. */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import type { StackRoutes } from '../esxi/agent.ts';
import type { DataObject } from '../schema/value.ts';
import type { HostSpec, VmkernelSpec } from './spec.ts';

/** Every host has these, with an adapter or without. */
const SYSTEM_STACKS = ['vSphereProvisioning', 'vmotion', 'defaultTcpipStack'] as const;
const NIC_TYPES = ['vmotion', 'management', 'vSphereProvisioning'] as const;

export function networkInfo(host: HostSpec, stacks: readonly StackRoutes[]): DataObject {
  return {
    vnic: host.vmkernels.map((nic) => vnicOf(nic)),
    ipRouteConfig: defaultGatewayOf(stacks.find(({ key }) => key === 'defaultTcpipStack')),
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
  const ipRouteConfig = { _typeName: 'HostIpRouteConfig', ...defaultGatewayOf(stack) };
  const settings = {
    requestedMaxNumberOfConnections: 11_000,
    congestionControlAlgorithm: 'newreno',
    ipV6Enabled: true,
  };
  const named = { key, name: key === 'defaultTcpipStack' ? key : '' };
  if (stack === undefined) return { ...named, ipRouteConfig, ...settings };
  const table = { ipRoute: routesOf(host, stack, isIPv4), ipv6Route: routesOf(host, stack, isIPv6) };
  return { ...named, ipRouteConfig, ...settings, routeTableConfig: table };
}

const defaultGatewayOf = (stack: StackRoutes | undefined): DataObject => {
  const { defaultGateway } = stack ?? {};
  if (defaultGateway === undefined) return {};
  return isIPv6(defaultGateway) ? { ipV6DefaultGateway: defaultGateway } : { defaultGateway };
};

/** Of one family. The default route and those of the adapters' own networks are in the table, too. */
function routesOf(host: HostSpec, stack: StackRoutes, isOfFamily: (address: string) => boolean): DataObject[] {
  const nics = host.vmkernels.filter((nic) => nic.stack === stack.key && isOfFamily(nic.address));
  const [first] = nics;
  const { defaultGateway = '' } = stack;
  const nowhere = isOfFamily('::') ? '::' : '0.0.0.0';
  const entries: DataObject[] = [
    ...(isOfFamily(defaultGateway)
      ? [{ network: nowhere, prefixLength: 0, gateway: defaultGateway, deviceName: first?.device }]
      : []),
    ...nics.map(({ address, prefixLength, device }) => ({
      ...{ network: networkOf(address, prefixLength), prefixLength, gateway: nowhere, deviceName: device },
    })),
    ...stack.routes
      .filter(({ network }) => isOfFamily(network))
      .map(({ network, prefixLength, gateway, device }) => ({
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

/** An adapter of the lab has an address of one family. */
function ipOf(nic: VmkernelSpec): DataObject {
  const { address: ipAddress, prefixLength } = nic;
  if (isIPv4(ipAddress)) return { dhcp: false, ipAddress, subnetMask: maskOf(prefixLength) };
  const ipV6Config = { ipV6Address: [{ ipAddress, prefixLength }], autoConfigurationEnabled: false };
  return { dhcp: false, ipV6Config };
}

/** The first address of the network that `address` is in, as RFC 5952 writes it. */
export function networkOf(address: string, prefixLength: number): string {
  if (isIPv6(address)) return networkOfV6(address, prefixLength);
  const bits = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - prefixLength);
  return dotted(Math.floor(bits / size) * size);
}

function networkOfV6(address: string, prefixLength: number): string {
  const [head = [], tail] = address.split('::').map((half) => half.split(':').filter(Boolean));
  const words = [...head, ...Array(8 - head.length - (tail?.length ?? 0)).fill('0'), ...(tail ?? [])];
  const masked = words.map((word, i) => {
    const kept = Math.min(16, Math.max(0, prefixLength - 16 * i));
    return (Number.parseInt(word, 16) & (0xffff << (16 - kept))).toString(16);
  });
  return new SocketAddress({ address: masked.join(':'), family: 'ipv6' }).address;
}

const maskOf = (prefixLength: number): string => dotted(2 ** 32 - 2 ** (32 - prefixLength));

const dotted = (bits: number): string => [24, 16, 8, 0].map((shift) => Math.floor(bits / 2 ** shift) % 256).join('.');
