import { create } from "zustand";

export const useHelp = create<{ isOpen: boolean }>()(() => ({ isOpen: false }));

export function toggleHelp(): void {
  useHelp.setState(({ isOpen }) => ({ isOpen: !isOpen }));
}
