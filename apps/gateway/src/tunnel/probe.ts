/**
 * Measures the link between the gateways: round trips and clock offset by pings on the control channel, goodput by throw-away data
 * on the subflows, counted at the far end. The padding keeps to the session's window (see padding.ts), so that the window knows the link
 * when the probe is over, and nobody else on it was hurt. One probe at a time.
 */
import type { ProbeResult } from '@lmas/gateway-api';
import { GatewayError } from '../errors.ts';
import { ControlType, readTimes, writeTimes } from '../protocol/control-times.ts';
import type { ControlMessage } from './control-channel.ts';
import type { DataChannel } from './data-channel.ts';

const roundTrips = 5;
const answerTimeoutMs = 10_000;

/** How often the far end is asked how much has arrived. */
const reportMs = 10;
const longestDrainMs = 2_000;
/** Subflows double what they send each round trip. On a long path the time that was asked for is too short to find its rate: so much more is given. */
const searchRoundTrips = 16;
const longestSearchMs = 5_000;

/** What the far end counted: bytes of padding, and its time, since it was told to begin. */
interface Report {
  bytes: number;
  atMs: number;
}

interface RoundTrip {
  rttMs: number;
  clockOffsetMs: number;
}

export class Probe {
  readonly #data: DataChannel;
  readonly #send: (type: number, body: Buffer) => void;
  #running = false;
  #padBase = 0;
  #padStartedAtMs = 0;
  #onPong: ((trip: RoundTrip) => void) | null = null;
  #onReport: ((report: Report) => void) | null = null;
  #reject: ((error: GatewayError) => void) | null = null;

  constructor(data: DataChannel, send: (type: number, body: Buffer) => void) {
    this.#data = data;
    this.#send = send;
  }

  ping(): Buffer {
    return writeTimes(performance.now(), 0);
  }
  pong(ping: Buffer): Buffer {
    return writeTimes(readTimes(ping).first, Date.now());
  }

  message({ type, body }: ControlMessage): void {
    if (type === ControlType.PONG) {
      const { first, second } = readTimes(body);
      const rttMs = performance.now() - first;
      if (!(rttMs >= 0 && Number.isFinite(second))) return;
      this.#data.sender.link.ping(rttMs, performance.now());
      this.#onPong?.({ rttMs, clockOffsetMs: second + rttMs / 2 - Date.now() });
    } else if (type === ControlType.PROBE_RESET) {
      this.#padBase = this.#data.padBytesReceived;
      this.#padStartedAtMs = performance.now();
    } else if (type === ControlType.PROBE_QUERY) {
      const report = writeTimes(this.#data.padBytesReceived - this.#padBase, performance.now() - this.#padStartedAtMs);
      this.#send(ControlType.PROBE_REPORT, report);
    } else if (type === ControlType.PROBE_REPORT) {
      const { first, second } = readTimes(body);
      // A body that is no pair of sound numbers counts for nothing.
      if (first >= 0 && second >= 0 && Number.isFinite(first + second))
        this.#onReport?.({ bytes: first, atMs: second });
    }
  }

  cancel(error: GatewayError): void {
    this.#reject?.(error);
  }

  async run(durationMs: number): Promise<ProbeResult> {
    if (this.#running) throw new GatewayError('PROBE_RUNNING');
    this.#running = true;
    try {
      return await this.#measure(durationMs);
    } finally {
      this.#running = false;
      this.#onPong = null;
      this.#onReport = null;
      this.#reject = null;
    }
  }

  async #measure(durationMs: number): Promise<ProbeResult> {
    const trips: RoundTrip[] = [];
    for (let trip = 0; trip < roundTrips; trip += 1) trips.push(await this.#roundTrip());
    const before = this.#retransmits();
    this.#data.sender.steadyLoss.restart();
    trips.sort((a, b) => a.rttMs - b.rttMs);
    const best = trips[0] ?? { rttMs: 0, clockOffsetMs: 0 };
    const goodput = durationMs > 0 ? await this.#goodput(durationMs, best.rttMs) : null;
    const after = this.#retransmits();
    const mtus = this.#data.subflows.map((subflow) => subflow.info()?.mtuBytes ?? 0).filter((mtu) => mtu > 0);
    return {
      rttMinMs: best.rttMs,
      rttMedianMs: trips[trips.length >> 1]?.rttMs ?? best.rttMs,
      goodputBitsPerSec: goodput,
      lossShare: durationMs > 0 ? this.#data.sender.steadyLoss.share : null,
      retransmits: before === null || after === null ? null : Math.max(0, after - before),
      mtuBytes: mtus.length === 0 ? null : Math.min(...mtus),
      clockOffsetMs: best.clockOffsetMs,
    };
  }

  /**
   * Between two reports of the far end, so that neither the start nor our own buffers count. Reports are asked for all the while: they
   * are to the padding what acknowledgements are to frames, and keep it within the window. Goes on past `durationMs` while the rate of the
   * link is still searched for: whoever comes next would have to go on searching.
   */
  async #goodput(durationMs: number, rttMs: number): Promise<number | null> {
    const reports: Report[] = [];
    const { sender } = this.#data;
    this.#onReport = (report) => {
      reports.push(report);
      sender.padArrived(report.bytes);
    };
    const searchMs = Math.min(longestSearchMs, searchRoundTrips * rttMs);
    this.#send(ControlType.PROBE_RESET, Buffer.alloc(0));
    this.#data.pad(durationMs + searchMs);
    const asking = setInterval(() => this.#send(ControlType.PROBE_QUERY, Buffer.alloc(0)), reportMs);
    try {
      await this.#sleep(durationMs);
      const end = performance.now() + searchMs;
      while (sender.linkRate.state === 'startup' && performance.now() < end) await this.#sleep(reportMs);
      sender.padding.end();
      const goodput = bitsPerSecOfLaterHalf(reports);
      await this.#drained();
      return goodput;
    } finally {
      clearInterval(asking);
      sender.stopPadding();
    }
  }

  /** Until all padding has arrived, so that what comes next finds the link idle; not for ever, because some may be lost for good. */
  async #drained(): Promise<void> {
    const end = performance.now() + longestDrainMs;
    while (this.#data.sender.padding.outstandingBytes > 0 && performance.now() < end) await this.#sleep(reportMs);
  }

  #roundTrip(): Promise<RoundTrip> {
    return this.#answer((resolve) => {
      this.#onPong = resolve;
      this.#send(ControlType.PING, this.ping());
    });
  }
  #sleep(durationMs: number): Promise<void> {
    return this.#answer((resolve) => void setTimeout(resolve, durationMs), durationMs + answerTimeoutMs);
  }

  #answer<T>(ask: (resolve: (value: T) => void) => void, timeoutMs = answerTimeoutMs): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new GatewayError('CONTROL_LOST', '(no answer)')), timeoutMs);
      this.#reject = (error) => {
        clearTimeout(timer);
        reject(error);
      };
      ask((value) => {
        clearTimeout(timer);
        resolve(value);
      });
    });
  }

  #retransmits(): number | null {
    let sum = 0;
    for (const subflow of this.#data.subflows) {
      const info = subflow.info();
      if (info === null) return null;
      sum += info.retransmits;
    }
    return sum;
  }
}

/** Null where too few reports came to say: on a busy machine all of them may come at once, or none. */
function bitsPerSecOfLaterHalf(reports: readonly Report[]): number | null {
  const last = reports[reports.length - 1];
  const middle = reports.find(({ atMs }) => atMs >= (last?.atMs ?? 0) / 2);
  if (last === undefined || middle === undefined || last.atMs <= middle.atMs) return null;
  const rate = ((last.bytes - middle.bytes) * 8000) / (last.atMs - middle.atMs);
  return rate > 0 ? rate : null;
}
