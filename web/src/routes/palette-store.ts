import { create } from "zustand";

/** How often the palette was asked for. */
export const usePalette = create<{ asked: number }>()(() => ({ asked: 0 }));

export function togglePalette(): void {
  usePalette.setState(({ asked }) => ({ asked: asked + 1 }));
}
