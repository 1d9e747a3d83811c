/** left, top, right, bottom in pixels of the upright picture. */
export type Box = [number, number, number, number];
export interface Size {
  width: number;
  height: number;
}
interface Point {
  x: number;
  y: number;
}

const SMALLEST = 8;

function held(value: number, low: number, high: number): number {
  return Math.round(Math.min(Math.max(value, low), Math.max(low, high)));
}

/** From one corner to the other, whichever comes first. */
export function drawn(from: Point, to: Point, size: Size): Box {
  const left = held(Math.min(from.x, to.x), 0, size.width - SMALLEST);
  const top = held(Math.min(from.y, to.y), 0, size.height - SMALLEST);
  return [
    left,
    top,
    held(Math.max(from.x, to.x), left + SMALLEST, size.width),
    held(Math.max(from.y, to.y), top + SMALLEST, size.height),
  ];
}

/** The same frame elsewhere; it stops at the picture's sides. */
export function moved(box: Box, x: number, y: number, size: Size): Box {
  const [width, height] = [box[2] - box[0], box[3] - box[1]];
  const left = held(box[0] + x, 0, size.width - width);
  const top = held(box[1] + y, 0, size.height - height);
  return [left, top, left + width, top + height];
}

export function withSide(box: Box, side: number, value: number, size: Size): Box {
  const [left, top, right, bottom] = box;
  if (side === 0) return [held(value, 0, right - SMALLEST), top, right, bottom];
  if (side === 1) return [left, held(value, 0, bottom - SMALLEST), right, bottom];
  if (side === 2) return [left, top, held(value, left + SMALLEST, size.width), bottom];
  return [left, top, right, held(value, top + SMALLEST, size.height)];
}
