/** No tunnel: what a hypervisor does by itself, one TCP stream from host to host, in the clear. */
import { ANSWER_PORT, type Contender, SINK_PORT, type Way } from './contender.ts';

const open: Contender['open'] = async (lab): Promise<Way> => {
  const host = lab.sites.b.host.dataAddress;
  return {
    entry: { host, port: SINK_PORT },
    askEntry: { host, port: ANSWER_PORT },
    async [Symbol.asyncDispose]() {},
  };
};

export const directCubic: Contender = {
  name: 'direct-cubic',
  what: 'one TCP stream, CUBIC, the distribution’s buffers',
  between: false,
  open,
};

export const directBbr: Contender = {
  name: 'direct-bbr',
  what: 'one TCP stream, BBR, the distribution’s buffers',
  between: false,
  sourceCongestionControl: 'bbr',
  open,
};
