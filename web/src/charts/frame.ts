/** The binary frame of a run's numbers (docs/reference/events.md): no copies, typed arrays over the answer itself. */

import { Problem } from "@/api/problem";

export interface FrameSeries {
  name: string;
  /** How many there are in the file, before any thinning. */
  total: number;
  steps: Uint32Array;
  values: Float32Array;
}

export interface Frame {
  cursor: string;
  /** Seconds since 1970 that the series `time` counts from. */
  timeOrigin: number | null;
  series: FrameSeries[];
}

interface Header {
  version: number;
  cursor: string;
  time_origin: number | null;
  series: { name: string; count: number; total: number; offset: number }[];
}

function unreadable(message: string): Problem {
  return new Problem(500, "unreadable", message);
}

export function readFrame(buffer: ArrayBuffer): Frame {
  if (buffer.byteLength < 4) throw unreadable("The server's answer with the numbers was cut off; load the page again.");
  const length = new DataView(buffer).getUint32(0, true);
  const base = 4 + length;
  if (base > buffer.byteLength)
    throw unreadable("The server's answer with the numbers was cut off; load the page again.");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))) as Header;
  if (header.version !== 1)
    throw unreadable("The server speaks a newer form of numbers than this page; load the page again.");
  return {
    cursor: header.cursor,
    timeOrigin: header.time_origin,
    series: header.series.map(({ name, count, total, offset }) => ({
      name,
      total,
      steps: new Uint32Array(buffer, base + offset, count),
      values: new Float32Array(buffer, base + offset + 4 * count, count),
    })),
  };
}
