// The lab, for everything that tests LMAS: two sites on one machine, real libvirt hosts, a WAN of any quality. See ../README.md.

export type { VmDisk, VmNetwork, VmOptions } from './domain.ts';
export { LAB_ERRORS, LabError, type LabErrorCode } from './errors.ts';
export type { GuestAnswer, GuestStatus, GuestVerdict } from './guest-console.ts';
export {
  type Heartbeat,
  type HeartbeatReport,
  readHeartbeats,
  reportOf,
  tellApart,
  witnessPosition,
} from './heartbeats.ts';
export { assertRoot, Lab, type LabOptions, type LabSite, labDown, labUp, openLab } from './lab.ts';
export {
  DEFAULT_LINK,
  type Direction,
  type DirectionStats,
  type LinkOptions,
  type LinkStats,
  payloadRate,
} from './link.ts';
export { LabMachine, LabMachine as LabHost, type SshAccess } from './machine.ts';
export type { MachineName, SiteName } from './names.ts';
export type { Sampler, SamplerReport } from './sampler.ts';
export type { LabVms, RunState, VmRow } from './vms.ts';
