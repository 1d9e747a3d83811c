import { lazy, Suspense } from "react";
import { useShortcut } from "@/shared/shortcuts";
import { togglePalette, usePalette } from "./palette-store";

const Palette = lazy(() => import("./palette"));

/** The palette is loaded when it is first asked for: most visits do without. */
export function PaletteGate() {
  const isWanted = usePalette((state) => state.asked > 0);
  useShortcut("mod+k", "Search and commands", togglePalette, { group: "Everywhere", whileTyping: true });
  return <Suspense fallback={null}>{isWanted && <Palette />}</Suspense>;
}
