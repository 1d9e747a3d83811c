import { useState } from "react";
import { count } from "@/shared/format";
import classes from "./samples.module.css";

interface Side {
  url: string;
  step: number;
}

/** Two pictures on top of each other, with an edge that is dragged or moved by the arrow keys. */
export function Wipe({ a, b, what }: { a: Side; b: Side; what: string }) {
  const [share, setShare] = useState(50);
  const isNarrow = share < 12 || share > 88;
  return (
    <div className={classes.stage}>
      <img className={classes.full} src={a.url} alt={`${what}, step ${count(a.step)}`} />
      <div className={classes.over} style={{ clipPath: `inset(0 0 0 ${share}%)`, background: "var(--panel)" }}>
        <img className={classes.full} src={b.url} alt={`${what}, step ${count(b.step)}`} />
      </div>
      <span className={classes.line} style={{ left: `${share}%` }} />
      {!(isNarrow && share < 50) && (
        <span className={classes.side} style={{ left: "0.5rem" }}>
          A · step {count(a.step)}
        </span>
      )}
      {!(isNarrow && share > 50) && (
        <span className={classes.side} style={{ right: "0.5rem" }}>
          B · step {count(b.step)}
        </span>
      )}
      <input
        type="range"
        className={classes.wipe}
        min={0}
        max={100}
        value={share}
        onChange={(event) => setShare(Number(event.currentTarget.value))}
        onKeyDown={(event) => event.key.startsWith("Arrow") && event.stopPropagation()}
        aria-label="Where A ends and B begins"
      />
    </div>
  );
}
