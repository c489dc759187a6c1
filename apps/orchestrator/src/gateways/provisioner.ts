import type { GatewayProvisioner } from './gateway.ts';
export function createSshProvisioner(_: object): GatewayProvisioner {
  throw new Error('not yet');
}
