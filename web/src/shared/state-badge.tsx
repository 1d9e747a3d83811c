import { Badge } from "@mantine/core";
import { stateWord } from "./jobs";

/** The state of a job or a run: a word and a quiet colour, alike everywhere. */
export function StateBadge(props: { state: string }) {
  const { label, color } = stateWord(props.state);
  return (
    <Badge className="state" data-color={color} variant="light" color={color} flex="none">
      {label}
    </Badge>
  );
}
