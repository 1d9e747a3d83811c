import { ActionIcon, Table, Text } from "@mantine/core";
import { RotateCcw } from "lucide-react";
import type { DifferenceOut } from "@/api/generated/types.gen";
import type { FormModel } from "@/forms/fields";
import { patternOf } from "@/forms/paths";
import { shown } from "@/forms/words";

/** Parameters that are not the same on both sides. */
export function DifferenceTable(props: {
  model: FormModel;
  differences: readonly DifferenceOut[];
  heads: readonly [string, string];
  /** Take the second side's value. */
  take?: (difference: DifferenceOut) => void;
}) {
  const { differences, heads, take } = props;
  if (differences.length === 0) return <Text c="dimmed">There is no difference.</Text>;
  return (
    <Table.ScrollContainer minWidth={420} mah={360}>
      <Table stickyHeader verticalSpacing={6}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Setting</Table.Th>
            <Table.Th>{heads[0]}</Table.Th>
            <Table.Th>{heads[1]}</Table.Th>
            {take && <Table.Th aria-label="Take over" />}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {differences.map((each) => (
            <Table.Tr key={each.path}>
              <Table.Td>{labelOf(props.model, each.path)}</Table.Td>
              <Table.Td style={{ overflowWrap: "anywhere" }}>{each.in_a ? shown(each.a) : "–"}</Table.Td>
              <Table.Td style={{ overflowWrap: "anywhere" }}>{each.in_b ? shown(each.b) : "–"}</Table.Td>
              {take && (
                <Table.Td>
                  {each.in_b && (
                    <ActionIcon
                      variant="subtle"
                      aria-label={`Take ${shown(each.b)} for ${labelOf(props.model, each.path)}`}
                      onClick={() => take(each)}
                    >
                      <RotateCcw size={16} aria-hidden />
                    </ActionIcon>
                  )}
                </Table.Td>
              )}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function labelOf(model: FormModel, path: string): string {
  const field = model.byPattern.get(patternOf(path));
  return field ? `${field.label}` : path;
}
