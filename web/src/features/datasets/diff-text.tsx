import { Text } from "@mantine/core";
import type { PieceOut } from "@/api/generated/types.gen";
import classes from "./diff-text.module.css";

/** A text with what was removed struck through and what was added underlined: never by colour alone. */
export function DiffText(props: { pieces: readonly PieceOut[] }) {
  if (props.pieces.every((piece) => piece.text === "")) {
    return (
      <Text size="sm" c="dimmed" fs="italic">
        No text
      </Text>
    );
  }
  return (
    <Text size="sm" component="p" m={0} className={classes.text}>
      {props.pieces.map((piece, place) => {
        // A piece has no name of its own: its place in the text is what it is.
        const key = `${place}-${piece.kind}`;
        if (piece.kind === "removed") return <del key={key}>{piece.text}</del>;
        if (piece.kind === "added") return <ins key={key}>{piece.text}</ins>;
        return <span key={key}>{piece.text}</span>;
      })}
    </Text>
  );
}
