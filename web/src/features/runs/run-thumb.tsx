import { Image } from "lucide-react";
import type { Facts } from "@/api/generated/types.gen";
import { serverUrl } from "@/api/setup";
import classes from "./runs.module.css";

/** The newest sample of a run, small. */
export function RunThumb({ run, size = 48 }: { run: Facts; size?: number }) {
  return (
    <span className={classes.thumb} style={{ width: size, height: size }}>
      {run.sample ? (
        <img
          src={serverUrl(`/api/runs/${run.id}/samples/${run.sample}?size=128`)}
          alt=""
          width={size}
          height={size}
          loading="lazy"
        />
      ) : (
        <Image size={18} aria-hidden />
      )}
    </span>
  );
}
