/** Our gateway pair: as the orchestrator sets it up, and with one thing changed at a time. */
import type { Lab } from '../../lab/src/index.ts';
import type { Contender } from './contender.ts';
import { openGatewayPair } from './gateway-pair.ts';

export const lmas: Contender = {
  name: 'lmas',
  what: 'a gateway pair as the orchestrator sets it up, AES-256-GCM, BBR',
  between: true,
  open: (lab) => openGatewayPair(lab, {}),
};

export const lmasWithSubflows = (subflows: number): Contender => ({
  name: `lmas-${subflows}`,
  what: `the same with ${subflows} subflow${subflows === 1 ? '' : 's'}, always`,
  between: true,
  open: (lab) => openGatewayPair(lab, { session: { subflows } }),
});

/** Where the destination's site takes no connections (`--no-listens`): who dials also joins the subflows and keeps their number. */
export const lmasSwapped: Contender = {
  name: 'lmas-swapped',
  what: 'the same with the roles swapped: the source’s gateway listens, the destination’s dials',
  between: true,
  open: (lab) => openGatewayPair(lab, { listens: 'source' }),
};

/** Both gateways on these cores together; `-c` counts from 0. */
export const lmasOnCores = (cores: number): Contender => ({
  name: `lmas-${cores}core${cores === 1 ? '' : 's'}`,
  what: `the same, both gateways on ${cores === 1 ? 'one core' : `${cores} cores`} together (taskset)`,
  between: true,
  open: (lab) => openGatewayPair(lab, { prefix: ['taskset', '-c', cores === 1 ? '0' : `0-${cores - 1}`] }),
});

export const lmasLimited = (bandwidthBytesPerSec: number): Contender => ({
  name: 'lmas-limited',
  what: 'the same with a bandwidth limit',
  between: true,
  open: (lab) => openGatewayPair(lab, { session: { bandwidthBytesPerSec } }),
});

export const lmasCompressing: Contender = {
  name: 'lmas-compressing',
  what: 'the same, compressing where that pays',
  between: true,
  open: (lab) => openGatewayPair(lab, { session: { compression: 'auto' } }),
};

/** Where a kernel has no BBR, or an administrator forbids it: the route locks CUBIC, and no program can take another. */
export const lmasCubic: Contender = {
  name: 'lmas-cubic',
  what: 'the same where only CUBIC is to be had',
  between: true,
  async open(lab) {
    await setRoutes(lab, 'lock');
    const unlock = () => setRoutes(lab, 'leave');
    const pair = await openGatewayPair(lab, {}).catch(async (error: unknown) => {
      await unlock();
      throw error;
    });
    return {
      ...pair,
      async [Symbol.asyncDispose]() {
        await pair[Symbol.asyncDispose]();
        await unlock();
      },
    };
  },
};

async function setRoutes(lab: Lab, how: 'lock' | 'leave'): Promise<void> {
  for (const { gatewayHost } of [lab.sites.a, lab.sites.b]) {
    const { stdout } = await gatewayHost.exec(['ip', '-json', 'route', 'show', 'default']);
    const [route] = JSON.parse(stdout) as { gateway: string }[];
    if (!route) throw new Error(`${gatewayHost.name} has no default route.`);
    const control = how === 'lock' ? ['congctl', 'lock', 'cubic'] : ['congctl', 'cubic'];
    await gatewayHost.exec(['ip', 'route', 'replace', 'default', 'via', route.gateway, ...control]);
  }
}
