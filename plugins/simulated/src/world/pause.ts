/** A pause that whoever asked for it can end. */

export async function pause(ms: number, stop: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      stop.removeEventListener('abort', onStop);
      resolve();
    }
    function onStop(): void {
      clearTimeout(timer);
      reject(stop.reason);
    }
    if (stop.aborted) onStop();
    else stop.addEventListener('abort', onStop, { once: true });
  });
}
