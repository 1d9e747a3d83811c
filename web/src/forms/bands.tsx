import type { ReactNode } from "react";
import { useMemo } from "react";
import { useShallow } from "zustand/react/shallow";
import { bandsOf } from "./columns";
import { useForm, useFormState } from "./context";
import type { Group } from "./fields";
import classes from "./form.module.css";

/** Groups in two columns; on a narrow page below each other. */
export function Bands(props: { groups: readonly Group[]; prefix?: string; draw: (group: Group) => ReactNode }) {
  const { groups, prefix = "", draw } = props;
  const { form } = useForm();
  // Not the values: a group stays in its column whatever is typed.
  const [level, isChangedOnly, isIdleShown, idle] = useFormState(
    useShallow((state) => [state.level, state.isChangedOnly, state.isIdleShown, state.idle]),
  );
  const bands = useMemo(
    () => bandsOf(groups, { ...form.state, level, isChangedOnly, isIdleShown, idle }, prefix),
    [groups, form, level, isChangedOnly, isIdleShown, idle, prefix],
  );
  return bands.map((band) =>
    "wide" in band ? (
      draw(band.wide)
    ) : (
      <div key={band.left[0]?.name} className={classes.band}>
        <div className={classes.column}>{band.left.map(draw)}</div>
        {band.right.length > 0 && <div className={classes.column}>{band.right.map(draw)}</div>}
      </div>
    ),
  );
}
