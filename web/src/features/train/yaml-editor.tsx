import type { KeyboardEvent } from "react";
import classes from "./train.module.css";

export interface Mark {
  readonly line: number;
  readonly level: string;
}

const EDITOR = "yaml-editor";

/** Put the cursor there. */
export function goToLine(line: number): void {
  const area = document.getElementById(EDITOR);
  if (!(area instanceof HTMLTextAreaElement)) return;
  const before = area.value.split("\n").slice(0, line - 1);
  const at = before.reduce((sum, each) => sum + each.length + 1, 0);
  area.focus();
  area.setSelectionRange(at, at + (area.value.split("\n")[line - 1]?.length ?? 0));
}

/** Plain text with the numbers of its lines; those with a mistake are marked. */
export function YamlEditor(props: { text: string; marks: readonly Mark[]; change: (text: string) => void }) {
  const { text, marks, change } = props;
  const lines = text.split("\n");
  return (
    <div className={classes.editor}>
      <div className={classes.numbers} aria-hidden>
        {lines.map((_, i) => {
          const mark = marks.find((each) => each.line === i + 1);
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: lines have no other name than their number
            <div key={i} data-level={mark?.level}>
              {i + 1}
            </div>
          );
        })}
      </div>
      <textarea
        id={EDITOR}
        className={classes.text}
        aria-label="Job file in YAML"
        value={text}
        rows={Math.max(20, lines.length + 1)}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => change(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Enter" && indent(event, change)}
      />
    </div>
  );
}

/** A new line begins under the last one's first letter. */
function indent(event: KeyboardEvent<HTMLTextAreaElement>, change: (text: string) => void): void {
  const { currentTarget: area } = event;
  const { selectionStart: from, selectionEnd: to, value } = area;
  const line = value.slice(value.lastIndexOf("\n", from - 1) + 1, from);
  const spaces = /^ */.exec(line)?.[0] ?? "";
  if (!spaces || event.shiftKey || event.nativeEvent.isComposing) return;
  event.preventDefault();
  change(`${value.slice(0, from)}\n${spaces}${value.slice(to)}`);
  const at = from + 1 + spaces.length;
  requestAnimationFrame(() => area.setSelectionRange(at, at));
}
