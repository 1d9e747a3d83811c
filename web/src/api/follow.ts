/**
 * Follows one list of events: over a WebSocket, or where something on the way breaks those, by asking again and again.
 * It goes on from the last cursor after any cut, so nothing comes twice and nothing is left out.
 */
import type { EventPage, LiveEvent } from "./generated/types.gen";
import { problemOf } from "./problem";

export type Connection = "connecting" | "connected" | "polling" | "disconnected";

export interface Wanted {
  /** The address of the socket, without its query. */
  address: () => string;
  /** The same list, asked for once; waits up to `wait` seconds for an event. */
  ask: (after: string | undefined, wait: number, signal: AbortSignal) => Promise<EventPage>;
  kinds?: readonly string[];
  after?: string;
  onEvents: (events: LiveEvent[]) => void;
  onConnection?: (now: Connection) => void;
  /** What is followed does not exist (any more). */
  onGone?: () => void;
}

/** The server gives a sign of life every 15 seconds; after so long without one the line is dead. */
const SILENCE_MS = 40_000;
/** A socket that does not open within this is broken by something on the way. */
const OPEN_MS = 8_000;
const SHORTEST_MS = 3_000;
const WAIT_SECONDS = 20;
/** How long it is asked for before a socket is tried again. */
const POLLING_MS = 120_000;
const LONGEST_PAUSE_MS = 10_000;
const CLOSE_UNKNOWN = 4404;

export class Follower {
  private cursor: string | undefined;
  private readonly stopping = new AbortController();
  private wake: () => void = () => {};
  private readonly wanted: Wanted;

  constructor(wanted: Wanted) {
    this.wanted = wanted;
    this.cursor = wanted.after;
    window.addEventListener("online", this.nudge);
    document.addEventListener("visibilitychange", this.nudge);
    void this.run();
  }

  stop(): void {
    this.stopping.abort();
    window.removeEventListener("online", this.nudge);
    document.removeEventListener("visibilitychange", this.nudge);
    this.wake();
  }

  private get stopped(): boolean {
    return this.stopping.signal.aborted;
  }

  /** The network is back, or somebody looks again: try at once. */
  private readonly nudge = () => {
    if (document.visibilityState !== "hidden") this.wake();
  };

  private async run(): Promise<void> {
    for (let failures = 0; !this.stopped; ) {
      if (await this.bySocket()) {
        failures = 0;
        await this.pause(250);
        continue;
      }
      if (this.stopped) return;
      if (await this.byPolling()) {
        failures = 0;
        continue;
      }
      if (this.stopped) return;
      this.wanted.onConnection?.("disconnected");
      await this.pause(pauseAfter(failures));
      failures += 1;
    }
  }

  /** Until the socket closes. Was it of use? One that closes as soon as it is open is not. */
  private bySocket(): Promise<boolean> {
    return new Promise((resolve) => {
      const query = new URLSearchParams((this.wanted.kinds ?? []).map((kind) => ["kinds", kind]));
      if (this.cursor !== undefined) query.set("after", this.cursor);
      const said = query.toString();
      const socket = new WebSocket(`${this.wanted.address()}${said ? `?${said}` : ""}`);
      let openedAt = 0;
      let told = false;
      let watch = setTimeout(() => end(), OPEN_MS);
      const end = (code?: number) => {
        clearTimeout(watch);
        this.stopping.signal.removeEventListener("abort", stop);
        socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
        socket.close();
        if (code === CLOSE_UNKNOWN) this.gone();
        resolve(told || (openedAt > 0 && Date.now() - openedAt > SHORTEST_MS));
      };
      const stop = () => end();
      const alive = () => {
        clearTimeout(watch);
        watch = setTimeout(() => end(), SILENCE_MS);
      };
      this.stopping.signal.addEventListener("abort", stop);
      socket.onopen = () => {
        openedAt = Date.now();
        alive();
        this.wanted.onConnection?.("connected");
      };
      socket.onmessage = (message: MessageEvent<string>) => {
        told = true;
        alive();
        this.take(JSON.parse(message.data) as EventPage);
      };
      socket.onclose = (event) => end(event.code);
      socket.onerror = () => end();
    });
  }

  /** For a while. Did anybody answer? */
  private async byPolling(): Promise<boolean> {
    const until = Date.now() + POLLING_MS;
    let wait = 0;
    while (!this.stopped && Date.now() < until) {
      try {
        this.take(await this.wanted.ask(this.cursor, wait, this.stopping.signal));
      } catch (error) {
        if (!this.stopped && problemOf(error).status === 404) this.gone();
        return false;
      }
      this.wanted.onConnection?.("polling");
      wait = WAIT_SECONDS;
    }
    return true;
  }

  private take(page: EventPage): void {
    if (this.stopped) return;
    if (page.events.length > 0) this.wanted.onEvents(page.events);
    this.cursor = page.cursor;
  }

  private gone(): void {
    this.stop();
    this.wanted.onGone?.();
  }

  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Half a second, then twice as long each time, and never all browsers at once. */
export function pauseAfter(failures: number, chance: () => number = Math.random): number {
  return Math.min(LONGEST_PAUSE_MS, 500 * 2 ** failures) * (0.75 + 0.5 * chance());
}
