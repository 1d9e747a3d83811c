import classes from "./chart.module.css";

/** Which line is which. */
export function Legend({ items }: { items: readonly { key: string; label: string; color: string }[] }) {
  return (
    <div className={classes.legend}>
      {items.map((item) => (
        <span key={item.key}>
          <span className={classes.swatch} style={{ background: item.color }} />
          {item.label}
        </span>
      ))}
    </div>
  );
}
