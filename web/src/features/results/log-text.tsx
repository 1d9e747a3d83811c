import classes from "./log.module.css";
import { type LogLine, marked } from "./log-lines";

export function LogText({ line, wanted = "" }: { line: LogLine; wanted?: string }) {
  return (
    <div className={classes.line} data-level={line.level}>
      {wanted
        ? marked(line.text, wanted).map((piece) =>
            piece.isHit ? <mark key={piece.at}>{piece.text}</mark> : <span key={piece.at}>{piece.text}</span>,
          )
        : line.text || "\u00a0"}
    </div>
  );
}
