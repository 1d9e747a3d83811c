import { lazy, Suspense, useEffect } from "react";
import { useShortcut } from "@/shared/shortcuts";
import { togglePalette, usePalette } from "./palette-store";

const load = () => import("./palette");
const Palette = lazy(load);
const LATER_MS = 3_000;

/** The palette comes after everything else, so that it is there when somebody types at once after its keys. */
export function PaletteGate() {
  const isWanted = usePalette((state) => state.asked > 0);
  useShortcut("mod+k", "Search and commands", togglePalette, { group: "Everywhere", whileTyping: true });
  useEffect(() => {
    // What cannot be loaded now is loaded, or complained of, when it is asked for.
    const timer = window.setTimeout(() => void load().catch(() => undefined), LATER_MS);
    return () => window.clearTimeout(timer);
  }, []);
  return <Suspense fallback={null}>{isWanted && <Palette />}</Suspense>;
}
