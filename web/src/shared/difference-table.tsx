import { Table, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { valueText } from "./value-text";

export interface Row {
  path: string;
  values: { value: unknown; isThere: boolean }[];
}

/** May be broken behind dots and underscores, and nowhere else. */
function broken(path: string): ReactNode[] {
  // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a path stay where they are
  return path.split(/(?<=[._])/).flatMap((part, place) => (place ? [<wbr key={place} />, part] : [part]));
}

interface Props {
  heads: readonly string[];
  rows: readonly Row[];
  /** The first column is what the others are compared with: what is the same there is pale. */
  isFirstUsual?: boolean;
}

/** Parameters that are not the same, a column for each side. */
export function DifferenceTable({ heads, rows, isFirstUsual = false }: Props) {
  const isSame = (row: Row, index: number) =>
    isFirstUsual && index > 0 && JSON.stringify(row.values[index]) === JSON.stringify(row.values[0]);
  return (
    <Table.ScrollContainer minWidth={130 + 96 * heads.length}>
      <Table verticalSpacing={6} fz="sm" withTableBorder striped>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Parameter</Table.Th>
            {heads.map((head, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: two runs may have one name
              <Table.Th key={index} miw="6rem">
                {head}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => (
            <Table.Tr key={row.path}>
              <Table.Td ff="monospace" fz="xs" w={{ base: "9rem", sm: "20rem" }} miw="9rem">
                {broken(row.path)}
              </Table.Td>
              {row.values.map((each, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: the columns stay where they are
                <Table.Td key={index} style={{ overflowWrap: "anywhere" }}>
                  {each.isThere ? (
                    <Text size="sm" inherit lineClamp={4} c={isSame(row, index) ? "dimmed" : undefined}>
                      {valueText(each.value)}
                    </Text>
                  ) : (
                    <Text size="sm" c="dimmed" inherit>
                      not set
                    </Text>
                  )}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
