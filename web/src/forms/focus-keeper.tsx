import { type ReactNode, useEffect, useRef } from "react";

const INPUTS = "input:not([type=hidden]), textarea, select, button, [tabindex='0']";

/** When what has the focus vanishes (a button that did its work, a row), the nearest place gets it, not the page. */
export function FocusKeeper({ children }: { children: ReactNode }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const here = box.current;
    if (!here) return;
    let last: { element: Element; rows: readonly Element[]; at: number; region: Element | null } | null = null;
    const onFocus = ({ target }: FocusEvent) => {
      if (!(target instanceof Element)) return;
      const rows = [...here.querySelectorAll("[data-path]")];
      const row = target.closest("[data-path]");
      const region = target.closest("[data-focus-home]");
      last = { element: target, rows, at: row ? rows.indexOf(row) : -1, region };
    };
    const onBlur = ({ target, relatedTarget }: FocusEvent) => {
      // Left on purpose. Browsers say the same just before they take an element away, so that is looked at afterwards.
      window.setTimeout(() => {
        if (last?.element === target && (relatedTarget || last?.element.isConnected)) last = null;
      });
    };
    const watcher = new MutationObserver(() => {
      if (!last || last.element.isConnected || document.activeElement !== document.body) return;
      const { rows, at, region } = last;
      last = null;
      (inputNear(rows, at) ?? homeOf(region, here))?.focus({ preventScroll: true });
    });
    here.addEventListener("focusin", onFocus);
    here.addEventListener("focusout", onBlur);
    watcher.observe(here, { childList: true, subtree: true });
    return () => {
      watcher.disconnect();
      here.removeEventListener("focusin", onFocus);
      here.removeEventListener("focusout", onBlur);
    };
  }, []);
  return <div ref={box}>{children}</div>;
}

/** In the same row, else in the next one that is still there, else in the one before. */
function inputNear(rows: readonly Element[], at: number): HTMLElement | null {
  if (at < 0) return null;
  for (const row of [...rows.slice(at), ...rows.slice(0, at).reverse()]) {
    const control = row.isConnected ? row.querySelector<HTMLElement>(`[data-control] :is(${INPUTS})`) : null;
    if (control) return control;
  }
  return null;
}

function homeOf(region: Element | null, here: HTMLElement): HTMLElement | null {
  if (region instanceof HTMLElement && region.isConnected) return region;
  return here.querySelector<HTMLElement>(INPUTS);
}
